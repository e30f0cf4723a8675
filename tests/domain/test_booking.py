"""What may be booked, and what users' times mean, also where clocks change and in leap years."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from qpuflow.domain import calendars
from qpuflow.domain.booking import (
    Booking,
    BookingKind,
    BookingRules,
    BookingState,
    Period,
    check_is_running,
    check_not_started,
    check_rules,
    check_time,
    weeks,
)
from qpuflow.domain.errors import Conflict, InputError
from qpuflow.domain.moments import read_moment

NOW = datetime(2028, 2, 28, 12, tzinfo=UTC)
BERLIN, LORD_HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe")


def period(start: float, end: float) -> Period:
    return Period(NOW + timedelta(hours=start), NOW + timedelta(hours=end))


def booking(start: float = 1, end: float = 2, **other: object) -> Booking:
    times = period(start, end)
    known = {
        "id": uuid4(),
        "qpu": "rack",
        "project": "ann",
        "kind": BookingKind.PROJECT,
        "state": BookingState.ACTIVE,
        "source": "qpuflow",
        "source_id": None,
        "starts_at": times.starts_at,
        "ends_at": times.ends_at,
        "created_by": "ann",
        "note": None,
    }
    return Booking(**known | other)  # pyright: ignore[reportArgumentType]  fields by name


def check(one: Period, others: list[Period] | None = None) -> None:
    check_time(one, NOW)
    check_rules(BookingRules(hours_per_week=10), one, others or [], NOW)


@pytest.mark.parametrize(
    ("one", "others", "said"),
    [
        (period(2, 2), [], "ends before it starts"),
        (period(-1, 2), [], "in the past"),
        (period(1, 1.01), [], "1 minutes at least"),
        (period(1, 13.1), [], "12 hours at most"),
        (period(24 * 91, 24 * 91 + 1), [], "within 90 days"),
        (period(1, 3), [period(4, 12.5)], "10.5 hours in the week of 2028-02-28"),
    ],
)
def test_what_the_rules_forbid_is_said_with_its_numbers(
    one: Period, others: list[Period], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        check(one, others)


def test_what_they_allow_passes() -> None:
    check(period(0, 2), [period(2, 10)])
    check(period(-1 / 61, 2))


def test_a_booking_over_a_leap_day_and_a_weeks_end_counts_where_it_lies() -> None:
    leap = Period(datetime(2028, 2, 28, 23, tzinfo=UTC), datetime(2028, 3, 1, 1, tzinfo=UTC))
    assert leap.length == timedelta(hours=26)
    sunday = Period(datetime(2028, 3, 5, 20, tzinfo=UTC), datetime(2028, 3, 6, 4, tzinfo=UTC))
    assert [sunday.within(week) for week in weeks(sunday)] == [timedelta(hours=4)] * 2
    full = [period(1, 7)]
    check(sunday, full)
    with pytest.raises(InputError, match="week of 2028-02-28"):
        check(sunday, [*full, period(8, 9)])


def test_a_started_booking_can_only_be_released_and_another_only_cancelled() -> None:
    with pytest.raises(Conflict, match="has started"):
        check_not_started(booking(-1), NOW)
    check_is_running(booking(-1), NOW)
    with pytest.raises(Conflict, match="has not started"):
        check_is_running(booking(1), NOW)
    check_not_started(booking(1), NOW)
    with pytest.raises(Conflict, match="over"):
        check_is_running(booking(-2, -1), NOW)
    with pytest.raises(Conflict, match="vendor's calendar"):
        check_not_started(booking(1, source="vendor"), NOW)
    with pytest.raises(Conflict, match="cancelled already"):
        check_not_started(booking(1, state=BookingState.CANCELLED), NOW)


@pytest.mark.parametrize(
    ("text", "zone", "utc"),
    [
        ("now", BERLIN, "2028-02-28T12:00"),
        ("+1h30m", BERLIN, "2028-02-28T13:30"),
        ("+2d", BERLIN, "2028-03-01T12:00"),
        ("2028-02-29T14:00", BERLIN, "2028-02-29T13:00"),
        ("2028-02-29 14:00Z", BERLIN, "2028-02-29T14:00"),
        ("2028-02-29T14:00-05:00", BERLIN, "2028-02-29T19:00"),
        ("2028-03-26T01:59", BERLIN, "2028-03-26T00:59"),
        ("2028-03-26T03:00", BERLIN, "2028-03-26T01:00"),
        ("2028-10-29T02:30+02:00", BERLIN, "2028-10-29T00:30"),
        ("2028-10-29T02:30+01:00", BERLIN, "2028-10-29T01:30"),
        ("2028-10-29T03:00", BERLIN, "2028-10-29T02:00"),
    ],
)
def test_times_are_read_where_the_user_is(text: str, zone: ZoneInfo, utc: str) -> None:
    read = read_moment(text, zone, NOW, NOW)
    assert read == datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "zone", "said"),
    [
        ("2028-03-26T02:30", BERLIN, "does not exist"),
        ("2028-10-29T02:30", BERLIN, r"there twice.*\+0200 or \+0100"),
        ("2028-10-01T02:15", LORD_HOWE, "does not exist"),
        ("2027-02-29T12:00", BERLIN, "is no time"),
        ("tomorrow", BERLIN, "is no time"),
        ("+2 hours", BERLIN, "is no duration"),
        ("+", BERLIN, "is no duration"),
        ("+99999999999999w", BERLIN, "longer than the calendar"),
    ],
)
def test_times_that_are_none_are_refused(text: str, zone: ZoneInfo, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_moment(text, zone, NOW, NOW)


def test_a_length_is_time_that_passes_over_a_change_of_the_clocks_too() -> None:
    start = read_moment("2028-03-26T00:30", BERLIN, NOW, NOW)
    end = read_moment("+4h", BERLIN, NOW, start)
    assert end.astimezone(BERLIN).hour == 5


def test_a_calendar_comes_back_as_it_was() -> None:
    made = [booking(1, 2, note="a, b; ü\nc"), booking(2, 30, project=None)]
    content = calendars.export(made, NOW)
    assert content.startswith(b"BEGIN:VCALENDAR\r\nVERSION:2.0")
    read = calendars.read(content, BERLIN)
    assert [one.period for one in read] == [one.period for one in made]
    assert [one.uid for one in read] == [f"{one.id}@qpuflow" for one in made]
    assert read[0].note == "a, b; ü\nc"


def ics(*lines: str) -> bytes:
    event = ["BEGIN:VEVENT", "UID:1", "DTSTAMP:20280101T000000Z", *lines, "END:VEVENT"]
    whole = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", *event, "END:VCALENDAR", ""]
    return "\r\n".join(whole).encode()


@pytest.mark.parametrize(
    ("lines", "utc", "hours"),
    [
        (("DTSTART:20280229T100000Z", "DURATION:PT2H"), "2028-02-29T10:00", 2),
        (("DTSTART:20280229T100000", "DTEND:20280229T110000"), "2028-02-29T09:00", 1),
        (
            (
                "DTSTART;TZID=Europe/Berlin:20280326T010000",
                "DTEND;TZID=Europe/Berlin:20280326T040000",
            ),
            "2028-03-26T00:00",
            2,
        ),
        (("DTSTART;VALUE=DATE:20280326", "DTEND;VALUE=DATE:20280327"), "2028-03-25T23:00", 23),
    ],
)
def test_other_peoples_calendars_are_read(lines: tuple[str, ...], utc: str, hours: int) -> None:
    (event,) = calendars.read(ics(*lines), BERLIN)
    assert event.period.starts_at == datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert event.period.length == timedelta(hours=hours)


def test_a_cancelled_event_is_none() -> None:
    cancelled = ics("DTSTART:20280229T100000Z", "DURATION:PT2H", "STATUS:CANCELLED")
    assert calendars.read(cancelled, BERLIN) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"no calendar",
        ics(),
        ics("DTSTART:nonsense"),
        ics("DTSTART:20280229T100000Z", "DURATION:PT2H", "RRULE:FREQ=DAILY"),
    ],
)
def test_what_cannot_be_read_is_one_message(content: bytes) -> None:
    with pytest.raises(InputError):
        calendars.read(content, BERLIN)
