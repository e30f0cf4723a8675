"""One intent, one execution, counted by the cloud's own books, whatever the weather."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from math import pi
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qpuflow.domain.compiling import compile_circuit
from qpuflow.domain.errors import (
    Conflict,
    InputError,
    NotFound,
    OperatorNeeded,
    OutcomeUnknown,
    PartlyAccepted,
    Refused,
    Unavailable,
)
from qpuflow.domain.executable import Executable
from qpuflow.domain.result import counts_of
from qpuflow.drivers.base import ForgetfulDriver, Outcome, RemoteState, Ticket
from qpuflow.drivers.conformance.kit import last_status
from qpuflow.drivers.fake_clouds import Fault, Kind
from qpuflow.drivers.fake_clouds.quantinuum.served import QuantinuumAt
from qpuflow.drivers.quantinuum import QuantinuumDriver
from qpuflow.drivers.quantinuum.account import one_time_code

pytestmark = pytest.mark.flaky(reruns=0)  # one failure in a hundred is one execution too many

Drivers = Callable[..., ForgetfulDriver]

MFA_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
"""Of RFC 6238, appendix B: twenty bytes 12345678901234567890."""


@pytest_asyncio.fixture(loop_scope="session")
async def drivers(fake_quantinuum: QuantinuumAt) -> AsyncIterator[Drivers]:
    """As many as a test wants, with other settings or secrets."""
    made: list[ForgetfulDriver] = []

    def make(
        secrets: Mapping[str, str] = fake_quantinuum.secrets, **settings: Any
    ) -> ForgetfulDriver:
        driver = QuantinuumDriver("h1", fake_quantinuum.settings(**settings), secrets)
        assert isinstance(driver, ForgetfulDriver)
        made.append(driver)
        return driver

    yield make
    for driver in made:
        await driver.close()


@pytest.fixture
def driver(drivers: Drivers) -> ForgetfulDriver:
    return drivers()


async def sweep(driver: ForgetfulDriver, points: int = 1) -> Executable:
    angle = Parameter("angle")
    circuit = QuantumCircuit(1, 1, name="sweep")
    circuit.rx(angle, 0)
    circuit.measure(0, 0)
    compiled = compile_circuit(circuit, await driver.describe())
    return compiled.executable("sweep", [{"angle": pi * (i % 2)} for i in range(points)])


def token() -> str:
    return f"qpuflow-{uuid4().hex}-1"


async def outcome(driver: ForgetfulDriver, ticket: Ticket) -> Outcome:
    assert (await last_status(driver, ticket)).state is RemoteState.COMPLETED
    return await driver.fetch(ticket)


def counts(outcome: Outcome) -> list[dict[str, int]]:
    dataset = outcome.datasets[0]
    return [counts_of(dataset, point) for point in range(dataset.sizes["point"])]


@pytest.mark.parametrize("fault", [Fault.REPLY_LOST, Fault.BROKEN_AFTER])
async def test_what_was_accepted_is_found_and_not_submitted_again(
    fake_quantinuum: QuantinuumAt, driver: ForgetfulDriver, fault: Fault
) -> None:
    name, executable = token(), await sweep(driver)
    fake_quantinuum.cloud.weather.next("submit", fault)
    late = (Fault.LISTED_LATE, Fault.REPLY_LOST, Fault.THROTTLED)
    fake_quantinuum.cloud.weather.next("jobs", *late)
    with pytest.raises(OutcomeUnknown):
        await driver.submit([executable], 10, name)
    ticket = await driver.find(name)
    assert ticket is not None
    assert (await last_status(driver, ticket)).state is RemoteState.COMPLETED
    assert counts(await driver.fetch_for(ticket, [executable])) == [{"0": 10}]
    assert fake_quantinuum.cloud.books.count(Kind.EXECUTED) == {f"{name}-0of1": 1}


async def test_of_several_circuits_only_those_that_are_missing_are_handed_over(
    fake_quantinuum: QuantinuumAt, drivers: Drivers
) -> None:
    driver, name = drivers(settle_seconds=0.3), token()
    executable = await sweep(driver, points=3)
    fake_quantinuum.cloud.weather.next("submit", None, Fault.REPLY_LOST)
    with pytest.raises(OutcomeUnknown):
        await driver.submit([executable], 10, name)
    elsewhere = drivers(settle_seconds=0.3)
    with pytest.raises(PartlyAccepted, match="2 of 3 circuits"):
        await elsewhere.find(name)
    ticket = await elsewhere.submit([executable], 10, name)
    assert counts(await outcome(elsewhere, ticket)) == [{"0": 10}, {"1": 10}, {"0": 10}]
    assert fake_quantinuum.cloud.books.count(Kind.SUBMITTED) == {
        f"{name}-{index}of3": 1 for index in range(3)
    }


async def test_a_circuit_that_is_refused_after_others_goes_a_moment_later(
    fake_quantinuum: QuantinuumAt, driver: ForgetfulDriver
) -> None:
    fake_quantinuum.cloud.weather.retry_after_seconds = 0.1
    fake_quantinuum.cloud.weather.next("submit", None, Fault.THROTTLED, Fault.TOKEN_EXPIRED)
    ticket = await driver.submit([await sweep(driver, points=2)], 10, token())
    assert counts(await outcome(driver, ticket)) == [{"0": 10}, {"1": 10}]
    assert not fake_quantinuum.cloud.books.executed_twice


async def test_what_was_not_accepted_is_not_found_after_the_patience(
    fake_quantinuum: QuantinuumAt, drivers: Drivers
) -> None:
    driver, name = drivers(settle_seconds=0.3), token()
    fake_quantinuum.cloud.weather.next("submit", Fault.BROKEN_BEFORE)
    with pytest.raises(OutcomeUnknown, match="500"):
        await driver.submit([await sweep(driver)], 10, name)
    assert await driver.find(name) is None
    assert not fake_quantinuum.cloud.books.entries


async def test_where_jobs_cannot_be_listed_nobody_says_that_there_is_none(
    drivers: Drivers,
) -> None:
    with pytest.raises(Unavailable, match="portal"):
        await drivers(jobs_by_name=False).find("qpuflow-1")


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.TOKEN_EXPIRED])
async def test_what_is_refused_was_not_accepted_and_goes_next_time(
    fake_quantinuum: QuantinuumAt, driver: ForgetfulDriver, fault: Fault
) -> None:
    executable = await sweep(driver)
    fake_quantinuum.cloud.weather.next("submit", fault)
    with pytest.raises(Refused) as refused:
        await driver.submit([executable], 10, token())
    assert refused.value.retry_after_seconds == (1.0 if fault is Fault.THROTTLED else None)
    assert not fake_quantinuum.cloud.books.entries
    assert await driver.submit([executable], 10, token())


@pytest.mark.parametrize("fault", [Fault.BROKEN_BEFORE, Fault.REPLY_LOST, Fault.THROTTLED])
async def test_what_goes_wrong_at_the_login_submits_nothing(
    fake_quantinuum: QuantinuumAt, driver: ForgetfulDriver, fault: Fault
) -> None:
    executable = await sweep(driver)
    fake_quantinuum.cloud.weather.next("submit", Fault.TOKEN_EXPIRED)
    with pytest.raises(Refused):
        await driver.submit([executable], 10, token())
    fake_quantinuum.cloud.weather.next("log_in", fault)
    with pytest.raises(Refused):
        await driver.submit([executable], 10, token())
    assert not fake_quantinuum.cloud.books.entries


@pytest.mark.parametrize("socket", [Fault.SOCKET_DROPPED, Fault.SOCKET_SILENT, None])
async def test_a_wait_outlives_bad_weather_and_an_expired_token(
    fake_quantinuum: QuantinuumAt,
    driver: ForgetfulDriver,
    socket: Fault | None,
) -> None:
    cloud = fake_quantinuum.cloud
    cloud.backlog.queue_seconds = 1.0
    cloud.weather.retry_after_seconds = 0.1
    faults = (
        *(Fault.THROTTLED, Fault.BROKEN_BEFORE, Fault.REPLY_LOST, Fault.TOKEN_EXPIRED),
        *(Fault.UNKNOWN_WORD, Fault.TRUNCATED, Fault.STEP_BACK, None, Fault.STEP_BACK),
    )
    cloud.weather.next("job", None, *faults)
    cloud.weather.next("socket", socket)
    ticket = await driver.submit([await sweep(driver)], 10, token())
    states = [status.state async for status in driver.watch(ticket)]
    assert states[-1] is RemoteState.COMPLETED
    assert states == sorted(states, key=["queued", "running", "completed"].index)


async def test_a_job_waits_while_its_machine_is_offline(
    fake_quantinuum: QuantinuumAt, driver: ForgetfulDriver
) -> None:
    executable = await sweep(driver)
    fake_quantinuum.cloud.online = False
    assert (await driver.describe()).status == "offline"
    ticket = await driver.submit([executable], 10, token())
    watch = driver.watch(ticket)
    assert (await anext(watch)).state is RemoteState.QUEUED
    fake_quantinuum.cloud.online = True
    assert [status.state async for status in watch][-1] is RemoteState.COMPLETED


@pytest.mark.parametrize("fault", [Fault.TRUNCATED, Fault.REPLY_LOST, Fault.STEP_BACK])
async def test_half_a_result_or_none_is_fetched_again(
    fake_quantinuum: QuantinuumAt, driver: ForgetfulDriver, fault: Fault
) -> None:
    ticket = await driver.submit([await sweep(driver)], 10, token())
    await last_status(driver, ticket)
    fake_quantinuum.cloud.weather.next("job", fault, fault)
    assert counts(await driver.fetch(ticket)) == [{"0": 10}]


async def test_any_process_fetches_what_another_submitted(
    driver: ForgetfulDriver, drivers: Drivers
) -> None:
    executable = await sweep(driver, points=2)
    ticket = await driver.submit([executable], 10, token())
    elsewhere = drivers()
    assert counts(await outcome(elsewhere, ticket)) == [{"0": 10}, {"1": 10}]
    found = await elsewhere.find(ticket.token)
    assert found is not None
    with pytest.raises(Conflict, match="not known any more"):
        await elsewhere.fetch(found)
    settled = Ticket(" ".join(found.details["jobs"]), ticket.token)
    assert counts(await elsewhere.fetch_for(settled, [executable])) == [{"0": 10}, {"1": 10}]


async def test_a_cancelled_job_never_runs(
    fake_quantinuum: QuantinuumAt, driver: ForgetfulDriver
) -> None:
    fake_quantinuum.cloud.backlog.queue_seconds = 30
    ticket = await driver.submit([await sweep(driver, points=2)], 10, token())
    await driver.cancel(ticket)
    await driver.cancel(ticket)
    assert (await last_status(driver, ticket)).state is RemoteState.CANCELLED
    assert not fake_quantinuum.cloud.books.count(Kind.EXECUTED)


async def test_the_estimate_is_what_is_charged(driver: ForgetfulDriver) -> None:
    executable = await sweep(driver, points=2)
    estimate = await driver.estimate([executable], 1000)
    assert estimate.unit == "HQC"
    # The points are no rotation, which pytket leaves out, and one PhasedX; each has a measurement.
    assert estimate.cost == pytest.approx(2 * 5 + 1000 * (5 + 6) / 5000)
    ticket = await driver.submit([executable], 1000, token())
    usage = (await outcome(driver, ticket)).usage
    assert (usage.cost, usage.unit) == (pytest.approx(estimate.cost), "HQC")


async def test_what_would_cost_more_than_the_owner_allows_is_refused(
    fake_quantinuum: QuantinuumAt, drivers: Drivers
) -> None:
    driver = drivers(max_cost_hqc=12)
    with pytest.raises(InputError, match=r"about 1\d\.\d\d HQC, more than the 12 allowed"):
        await driver.submit([await sweep(driver, points=2)], 1000, token())
    await driver.submit([await sweep(driver)], 10, token())
    (job,) = fake_quantinuum.cloud.backlog.jobs.values()
    assert job.request["max-cost"] == 12, "and Quantinuum is told"


async def test_what_would_cost_more_than_its_user_allows_is_refused(
    fake_quantinuum: QuantinuumAt, drivers: Drivers
) -> None:
    driver = drivers()
    one = replace(await sweep(driver, points=2), max_cost="12 HQC")
    with pytest.raises(InputError, match="more than the 12 allowed"):
        await driver.submit([one], 1000, token())
    await driver.submit([one], 10, token())
    jobs = fake_quantinuum.cloud.backlog.jobs.values()
    assert [job.request["max-cost"] for job in jobs] == [12, 12]


async def test_circuits_of_a_job_may_go_as_a_batch(
    fake_quantinuum: QuantinuumAt, drivers: Drivers
) -> None:
    driver = drivers(max_cost_hqc=100, batches=True)
    ticket = await driver.submit([await sweep(driver, points=3)], 10, token())
    first, second, last = (job.request for job in fake_quantinuum.cloud.backlog.jobs.values())
    assert first["batch-exec"] == 100
    assert second["batch-exec"] == last["batch-exec"] == ticket.details["jobs"][0]
    assert last["batch-end"] is True
    assert counts(await outcome(driver, ticket)) == [{"0": 10}, {"1": 10}, {"0": 10}]


async def test_a_wrong_password_and_a_wrong_machine_are_said_to_be_so(drivers: Drivers) -> None:
    with pytest.raises(Unavailable, match="Incorrect username or password"):
        await drivers({"user": "ada", "password": "wrong"}).describe()
    with pytest.raises(OperatorNeeded, match="no user with a password"):
        drivers({})
    with pytest.raises(NotFound, match="H1-1, H1-1SC"):
        await drivers(machine="H9-1").describe()


async def test_a_second_factor_is_made_from_its_secret(
    fake_quantinuum: QuantinuumAt, drivers: Drivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = one_time_code(MFA_SECRET, 59)
    assert code == "287082", "of RFC 6238"
    fake_quantinuum.cloud.accounts.mfa_codes = {code}
    with pytest.raises(Unavailable, match="verification code"):
        await drivers().describe()

    def made_now(_secret: str, _now: float) -> str:
        return code

    monkeypatch.setattr("qpuflow.drivers.quantinuum.account.one_time_code", made_now)
    device = await drivers({**fake_quantinuum.secrets, "mfa_secret": MFA_SECRET}).describe()
    assert device.status == "online"


async def test_a_restart_needs_no_login_and_a_bad_refresh_token_only_the_password(
    fake_quantinuum: QuantinuumAt, drivers: Drivers, tmp_path: Path
) -> None:
    accounts = fake_quantinuum.cloud.accounts
    await drivers(token_folder=str(tmp_path)).describe()
    await drivers(token_folder=str(tmp_path)).describe()
    assert accounts.full_logins == 1
    assert_secret(tmp_path)
    accounts.forget_refresh_tokens()
    await drivers(token_folder=str(tmp_path)).describe()
    assert accounts.full_logins == 2
    other = {**fake_quantinuum.secrets, "password": "a-new-one"}
    await drivers(other, token_folder=str(tmp_path)).describe()
    assert accounts.full_logins == 3


def assert_secret(folder: Path) -> None:
    (kept,) = folder.iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    assert b"refresh" not in kept.read_bytes(), "nobody reads it without the password"


async def test_the_calibration_tells_the_errors_of_the_machine(driver: ForgetfulDriver) -> None:
    assert 0 < (await driver.calibration())["2q_gate_error"]["p2"] < 0.1
