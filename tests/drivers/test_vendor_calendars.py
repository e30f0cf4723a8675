"""Whose time it is at a vendor's, as the booking calendar shows it."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from qiskit import QuantumCircuit

from qpuflow.domain.booking import Period
from qpuflow.domain.compiling import compile_circuit
from qpuflow.domain.executable import Executable
from qpuflow.domain.vendor_calendar import DAYS, Window, occurrences
from qpuflow.drivers.base import CalendarDriver, Driver
from qpuflow.drivers.braket import BraketDriver
from qpuflow.drivers.braket.calendar import windows
from qpuflow.drivers.braket.settings import BraketSettings
from qpuflow.drivers.fake_clouds.braket.served import BraketAt
from qpuflow.drivers.fake_clouds.ibm.served import IbmAt
from qpuflow.drivers.fake_clouds.quantinuum.machines import MACHINE
from qpuflow.drivers.fake_clouds.quantinuum.served import QuantinuumAt
from qpuflow.drivers.ibm import IbmDriver
from qpuflow.drivers.ibm.sessions import events_of
from qpuflow.drivers.quantinuum import QuantinuumDriver

SATURDAY = datetime(2026, 11, 21, 12, tzinfo=UTC)
WEEK = SATURDAY + timedelta(days=7)
RESERVATION = "arn:aws:braket:eu-north-1:123456789012:reservation/a1b2c3"


def at(day: int, hour: int) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


def test_a_window_occurs_on_its_days() -> None:
    window = Window(DAYS["weekdays"], time(9), time(17))
    found = list(occurrences(window, SATURDAY, WEEK))
    assert found[0] == Period(at(23, 9), at(23, 17))
    assert [one.starts_at.weekday() for one in found] == [0, 1, 2, 3, 4]


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_starts() -> None:
    window = Window(DAYS["friday"], time(22), time(14))
    assert list(occurrences(window, SATURDAY, SATURDAY + timedelta(days=1))) == [
        Period(at(20, 22), at(21, 14))
    ]


def test_amazons_windows_are_read_and_what_is_unknown_is_left_out() -> None:
    told = [
        {"executionDay": "Everyday", "windowStartHour": "00:00", "windowEndHour": "23:59:59"},
        {"executionDay": "Monday", "windowStartHour": "09:00:00", "windowEndHour": "10:00:00"},
        {"executionDay": "Whenever", "windowStartHour": "09:00", "windowEndHour": "10:00"},
        {"executionDay": "Friday", "windowStartHour": "9 o'clock", "windowEndHour": "10:00"},
        {"executionDay": "Friday", "windowStartHour": "09:00"},
        "always",
    ]
    assert windows({"executionWindows": None}) == []
    always, monday = windows({"executionWindows": told})
    assert always.is_always
    assert (monday.days, monday.starts, monday.is_always) == ({0}, time(9), False)


async def test_quantinuums_reservations_of_this_machine(fake_quantinuum: QuantinuumAt) -> None:
    event = {"start-date": "2026-11-22T08:00:00", "end-date": "2026-11-22T10:00:00"}
    fake_quantinuum.cloud.calendar = [
        {**event, "machine": MACHINE, "event-type": "reservation", "organization": "our-lab"},
        {**event, "machine": "H9-9", "event-type": "reservation"},
        {**event, "machine": MACHINE, "event-type": "maintenance", "end-date": "soon"},
    ]
    driver = QuantinuumDriver("h1", fake_quantinuum.settings(), fake_quantinuum.secrets)
    assert isinstance(driver, CalendarDriver)
    calendar = await driver.vendor_calendar(SATURDAY)
    await driver.close()
    (shown,) = calendar.events
    assert (calendar.source, shown.note) == ("vendor/quantinuum", "reservation of our-lab")
    assert shown.period == Period(at(22, 8), at(22, 10))


async def executable(driver: Driver) -> Executable:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    compiled = compile_circuit(circuit, await driver.describe(), seed=1)
    return compiled.executable("bell", ({},))


async def test_tasks_run_under_the_reservation_in_which_they_are_created(
    fake_braket: BraketAt,
) -> None:
    now = datetime.now(UTC)
    times = {"starts_at": now - timedelta(hours=1), "ends_at": now + timedelta(hours=1)}
    reserved = fake_braket.settings(reservations=[{"arn": RESERVATION, **times}])
    later = {name: moment + timedelta(days=1) for name, moment in times.items()}
    unreserved = fake_braket.settings(reservations=[{"arn": RESERVATION, **later}])
    for settings, expected in ((reserved, [RESERVATION]), (unreserved, [])):
        driver = BraketDriver("garnet", settings, fake_braket.secrets)
        assert isinstance(driver, CalendarDriver)
        shown = [one.source_id for one in (await driver.vendor_calendar(now)).events]
        assert shown == [RESERVATION]
        ticket = await driver.submit([await executable(driver)], 100, f"token-{len(expected)}")
        await driver.close()
        request = fake_braket.cloud.backlog.jobs[ticket.id].request
        assert [one["arn"] for one in request.get("associations", ())] == expected


def test_a_reservation_that_makes_no_sense_is_refused() -> None:
    known = {"device": "arn:aws:braket:::device/quantum-simulator/amazon/sv1", "bucket": "b"}
    backwards = {"arn": RESERVATION, "starts_at": at(22, 9), "ends_at": at(22, 8)}
    with pytest.raises(ValidationError, match="ends after it starts"):
        BraketSettings.model_validate({**known, "reservations": [backwards]})


@pytest.mark.parametrize(
    "other",
    [
        {"active_ttl": "an hour"},
        {"active_ttl": {"seconds": 3600}},
        {"active_ttl": float("nan")},
        {"active_ttl": 1e300},
        {"active_ttl": 8e13},
        {"active_ttl": -1},
        {"activated_at": "soon"},
        {"id": None},
    ],
    ids=str,
)
def test_a_session_that_says_what_nobody_knows_is_not_shown(other: dict[str, Any]) -> None:
    told = {"id": "mine", "activated_at": SATURDAY.isoformat(), "active_ttl": 3600}
    assert len(events_of(told, SATURDAY)) == 1
    assert events_of({**told, **other}, SATURDAY) == []


async def test_jobs_run_in_the_session_whose_time_is_shown(fake_ibm: IbmAt) -> None:
    now = datetime.now(UTC)
    fake_ibm.cloud.sessions["mine"] = {
        "id": "mine",
        "mode": "dedicated",
        "state": "open",
        "accepting_jobs": True,
        "activated_at": now.isoformat(),
        "active_ttl": 3600,
    }
    driver = IbmDriver("fez", fake_ibm.settings(session_id="mine"), fake_ibm.secrets)
    assert isinstance(driver, CalendarDriver)
    (shown,) = (await driver.vendor_calendar(now)).events
    assert (shown.note, shown.period.length) == ("dedicated session mine", timedelta(hours=1))
    ticket = await driver.submit([await executable(driver)], 100, "token")
    assert fake_ibm.cloud.backlog.jobs[ticket.id].request["session_id"] == "mine"
    fake_ibm.cloud.sessions["mine"]["state"] = "closed"
    assert (await driver.vendor_calendar(now)).events == []
    await driver.close()
