"""Bookings: what they are and what makes one acceptable. Times are aware, and UTC in the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from qpuflow.domain.errors import Conflict, InputError

OURS = "qpuflow"
"""The source of our own bookings. Rows of any other are a vendor's calendar, for reading only."""
GRACE = timedelta(minutes=1)
"""A booking that starts now has started by the time that it is read."""
Hours = Annotated[float, Field(gt=0)]


class BookingKind(StrEnum):
    PROJECT = "project"
    MAINTENANCE = "maintenance"


class BookingState(StrEnum):
    ACTIVE = "active"
    RELEASED = "released"
    CANCELLED = "cancelled"


class BookingRules(BaseModel):
    """What an installation allows. Operators are held to none of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_minutes: float = Field(default=1.0, gt=0, description="The shortest booking.")
    max_hours: Hours = Field(default=12.0, description="The longest booking.")
    horizon_days: float = Field(default=90.0, gt=0, description="How far ahead one may start.")
    hours_per_week: Hours = Field(
        default=40.0, description="Of one project on one QPU, from Monday 00:00 UTC."
    )


@dataclass(frozen=True, slots=True)
class Period:
    """`[starts_at, ends_at)`."""

    starts_at: datetime
    ends_at: datetime

    @property
    def length(self) -> timedelta:
        return self.ends_at - self.starts_at

    def within(self, other: Period) -> timedelta:
        """How much of this one lies in the other."""
        start, end = max(self.starts_at, other.starts_at), min(self.ends_at, other.ends_at)
        return max(end - start, timedelta())

    def __str__(self) -> str:
        start, end = self.starts_at.astimezone(UTC), self.ends_at.astimezone(UTC)
        last = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M}"
        return f"{start:%Y-%m-%d %H:%M} to {last} UTC"


@dataclass(frozen=True, slots=True)
class Booking:
    """A reserved period of one QPU; of no project while it is maintenance."""

    id: UUID
    qpu: str
    project: str | None
    kind: BookingKind
    state: BookingState
    source: str
    source_id: str | None
    starts_at: datetime
    ends_at: datetime
    created_by: str
    note: str | None

    @property
    def period(self) -> Period:
        return Period(self.starts_at, self.ends_at)

    def has_started(self, now: datetime) -> bool:
        return self.starts_at <= now

    def __str__(self) -> str:
        whose = f"of {self.project}" if self.project else "for maintenance"
        return f"booking {str(self.id)[:8]} {whose}, {self.period}"


def check_time(period: Period, now: datetime) -> None:
    """What holds for everybody: forwards, and not in the past."""
    if period.length <= timedelta():
        raise InputError(f"It ends before it starts: {period}")
    if period.starts_at < now - GRACE:
        raise InputError(f"It starts in the past: {period}", remedy="A start may be `now`.")


def check_rules(
    rules: BookingRules, period: Period, others: Iterable[Period], now: datetime
) -> None:
    """What holds for users. `others` are the project's bookings of the weeks it touches."""
    if period.length < timedelta(minutes=rules.min_minutes):
        raise InputError(f"A booking lasts {rules.min_minutes:g} minutes at least: {period}")
    if period.length > timedelta(hours=rules.max_hours):
        raise InputError(f"A booking lasts {rules.max_hours:g} hours at most: {period}")
    if period.starts_at > now + timedelta(days=rules.horizon_days):
        raise InputError(f"A booking starts within {rules.horizon_days:g} days: {period}")
    booked = list(others)
    for week in weeks(period):
        hours = sum((one.within(week) for one in [*booked, period]), timedelta()) / _HOUR
        if hours > rules.hours_per_week:
            raise InputError(
                f"The project would have {hours:.4g} hours in the week of "
                f"{week.starts_at:%Y-%m-%d}, and may have {rules.hours_per_week:g}",
                remedy="Release or cancel another booking, or ask an operator.",
            )


_HOUR = timedelta(hours=1)


def weeks(period: Period) -> list[Period]:
    """The weeks that a period touches, each from Monday 00:00 UTC."""
    start = period.starts_at.astimezone(UTC)
    day = start.replace(hour=0, minute=0, second=0, microsecond=0)
    monday = day - timedelta(days=day.weekday())
    found: list[Period] = []
    while monday < period.ends_at:
        found.append(Period(monday, monday + timedelta(days=7)))
        monday += timedelta(days=7)
    return found


def check_ours(booking: Booking) -> None:
    """It can be touched at all: it is in force, and not a line of a vendor's calendar."""
    if booking.source != OURS:
        raise Conflict(
            f"The {booking} is from {booking.source}'s calendar", remedy="Change it there."
        )
    if booking.state is not BookingState.ACTIVE:
        raise Conflict(f"The {booking} is {booking.state.value} already")


def check_not_started(booking: Booking, now: datetime) -> None:
    """A booking may be changed or cancelled until it starts; then it can only be released."""
    check_ours(booking)
    if booking.has_started(now):
        raise Conflict(
            f"The {booking} has started", remedy=f"`qpuflow release {str(booking.id)[:8]}` ends it."
        )


def check_is_running(booking: Booking, now: datetime) -> None:
    """Only what has started, and not ended, can be released."""
    check_ours(booking)
    if booking.ends_at <= now:
        raise Conflict(f"The {booking} is over")
    if not booking.has_started(now):
        raise Conflict(
            f"The {booking} has not started",
            remedy=f"`qpuflow cancel-booking {str(booking.id)[:8]}` cancels it.",
        )
