"""What a vendor's own calendar says of a device: shown beside our bookings, and read only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from qpuflow.domain.booking import Period

PREFIX = "vendor/"
"""Of the sources of such rows. They close nothing: the vendor's own queue keeps to them, and what
was handed over waits there."""
AHEAD = timedelta(days=30)
DAYS: Mapping[str, frozenset[int]] = {
    "everyday": frozenset(range(7)),
    "weekdays": frozenset(range(5)),
    "weekend": frozenset({5, 6}),
    "weekends": frozenset({5, 6}),
    **{
        name: frozenset({number})
        for number, name in enumerate(
            ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
        )
    },
}


@dataclass(frozen=True, slots=True)
class VendorEvent:
    """`source_id` is the same whenever the calendar is read."""

    source_id: str
    period: Period
    note: str


@dataclass(frozen=True, slots=True)
class VendorCalendar:
    """`vendor` is the source's name; the events are those of one device."""

    vendor: str
    events: Sequence[VendorEvent]

    @property
    def source(self) -> str:
        return PREFIX + self.vendor


@dataclass(frozen=True, slots=True)
class Window:
    """A time of day in UTC at which a device works, on some days of the week (Monday is 0)."""

    days: frozenset[int]
    starts: time
    ends: time

    @property
    def is_always(self) -> bool:
        return (
            len(self.days) == len(DAYS["everyday"])
            and self.starts == time()
            and (self.ends >= time(23, 59))
        )


def occurrences(window: Window, now: datetime, until: datetime) -> Iterable[Period]:
    """Those that end after now. One that ends before it starts goes on over midnight."""
    day = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    while day < until:
        start = datetime.combine(day, window.starts, day.tzinfo)
        end = datetime.combine(day, window.ends, day.tzinfo)
        if window.ends <= window.starts:
            end += timedelta(days=1)
        if day.weekday() in window.days and end > now and start < until:
            yield Period(start, end)
        day += timedelta(days=1)
