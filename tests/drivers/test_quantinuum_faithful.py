"""The fake is faithful: Quantinuum's own client cannot tell it from the real one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qpuflow.drivers.fake_clouds import Fault, Kind
from qpuflow.drivers.fake_clouds.quantinuum.served import QuantinuumAt

CLIENT = Path(__file__).with_name("quantinuum_client.py")

Told = Callable[[QuantinuumAt, str], Any]


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """What Quantinuum's client makes of a story."""
    command = [sys.executable, str(CLIENT)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:

        def tell(quantinuum: QuantinuumAt, story: str) -> Any:
            assert client.stdin is not None
            assert client.stdout is not None
            print(json.dumps([quantinuum.url, story]), file=client.stdin, flush=True)
            line = client.stdout.readline()
            assert line, "it died; its last words are above"
            return json.loads(line)

        yield tell
        client.kill()


def test_a_bell_pair_runs_in_both_languages_told_of_and_asked_for(
    fake_quantinuum: QuantinuumAt, told: Told
) -> None:
    results = told(fake_quantinuum, "runs")
    assert [sum(one.values()) for one in results] == [100] * 4
    assert all(one.keys() == {"00", "11"} for one in results)


def test_a_measured_bit_decides_what_comes_next(fake_quantinuum: QuantinuumAt, told: Told) -> None:
    assert told(fake_quantinuum, "feeds_forward") == [{"011": 10}, {"011": 10}]


def test_the_syntax_checker_tells_the_cost(fake_quantinuum: QuantinuumAt, told: Told) -> None:
    cost = told(fake_quantinuum, "asks_what_it_costs")
    one_qubit, two_qubit, measured = 3, 1, 2  # as pytket compiles it at level 0
    assert cost == pytest.approx(5 + 1000 * (one_qubit + 10 * two_qubit + 5 * measured) / 5000)


def test_a_job_that_waits_is_cancelled_and_never_runs(
    fake_quantinuum: QuantinuumAt, told: Told
) -> None:
    fake_quantinuum.cloud.online = False
    assert told(fake_quantinuum, "cancels") == ["QUEUED", "CANCELLED"]
    fake_quantinuum.cloud.online = True
    assert not fake_quantinuum.cloud.books.count(Kind.EXECUTED)


def test_a_batch_takes_jobs_until_it_is_ended(fake_quantinuum: QuantinuumAt, told: Told) -> None:
    sums, refused = told(fake_quantinuum, "runs_a_batch")
    assert sums == [10, 20, 30]
    assert "There is no open batch" in refused


def test_the_calendar_tells_reservations(fake_quantinuum: QuantinuumAt, told: Told) -> None:
    fake_quantinuum.cloud.calendar = [
        {
            "machine": machine,
            "start-date": "2026-11-12T08:00:00",
            "end-date": "2026-11-12T10:00:00",
            "event-type": "reservation",
            "organization": "our-lab",
        }
        for machine in ("H1-1", "H9-9")
    ]
    events = told(fake_quantinuum, "reads_the_calendar")
    assert events == [["2026-11-12T08:00:00+00:00", "our-lab"]]


def test_the_machine_is_seen_with_its_state(fake_quantinuum: QuantinuumAt, told: Told) -> None:
    fake_quantinuum.cloud.online = False
    assert told(fake_quantinuum, "sees_the_machine") == [20, "offline"]


def test_a_second_factor_is_asked_for(fake_quantinuum: QuantinuumAt, told: Told) -> None:
    fake_quantinuum.cloud.accounts.mfa_codes = {"123456"}
    assert told(fake_quantinuum, "logs_in_with_a_second_factor") is True
    assert fake_quantinuum.cloud.accounts.full_logins == 1


def test_a_user_of_microsofts_logs_in_by_a_code(fake_quantinuum: QuantinuumAt, told: Told) -> None:
    accounts = fake_quantinuum.cloud.accounts
    accounts.microsoft.confirms_at_once = True
    assert told(fake_quantinuum, "logs_in_by_microsoft") == ["online", True]
    assert len(accounts.microsoft.issued) == 1
    assert accounts.full_logins == 0


def test_a_wrong_password_is_refused(fake_quantinuum: QuantinuumAt, told: Told) -> None:
    assert "Incorrect username or password" in told(fake_quantinuum, "logs_in_wrongly")


def test_tokens_are_refreshed_without_the_password(
    fake_quantinuum: QuantinuumAt, told: Told
) -> None:
    assert told(fake_quantinuum, "refreshes") == [True, "online"]
    assert fake_quantinuum.cloud.accounts.full_logins == 1


def test_an_invalid_refresh_token_needs_the_password_again(
    fake_quantinuum: QuantinuumAt, told: Told
) -> None:
    fake_quantinuum.cloud.weather.next("log_in", None, Fault.REFRESH_REFUSED)
    assert told(fake_quantinuum, "refreshes") == [True, "online"]
    assert fake_quantinuum.cloud.accounts.full_logins == 2


def test_its_client_does_not_survive_a_dropped_websocket(
    fake_quantinuum: QuantinuumAt, told: Told
) -> None:
    """Why our driver waits by itself."""
    fake_quantinuum.cloud.backlog.queue_seconds = 0.5
    fake_quantinuum.cloud.weather.next("socket", Fault.SOCKET_DROPPED)
    error, shots = told(fake_quantinuum, "breaks_its_connection")
    assert error.startswith("ConnectionClosed")
    assert shots == 10


@pytest.mark.parametrize(
    ("fault", "words"),
    [(Fault.THROTTLED, "Too many requests"), (Fault.TOKEN_EXPIRED, "token has expired")],
)
def test_errors_are_read_as_quantinuums(
    fake_quantinuum: QuantinuumAt, told: Told, fault: Fault, words: str
) -> None:
    fake_quantinuum.cloud.weather.next("submit", fault)
    assert words in told(fake_quantinuum, "submits_in_bad_weather")
    assert not fake_quantinuum.cloud.books.entries
