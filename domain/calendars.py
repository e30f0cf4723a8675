"""Bookings as iCalendar (RFC 5545), and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Any

from qpuflow.domain.booking import Booking, BookingState, Period
from qpuflow.domain.errors import InputError

PRODUCT = "-//qpuflow//bookings//EN"


@dataclass(frozen=True, slots=True)
class Event:
    """An event of somebody's calendar. `uid` is the same whenever it is exported."""

    uid: str
    period: Period
    note: str | None


def export(bookings: Iterable[Booking], now: datetime) -> bytes:
    """One calendar. Its events keep their UID, so that importing it again brings no second ones."""
    from icalendar import Calendar
    from icalendar import Event as Component

    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    for booking in bookings:
        event = Component()
        event.add("uid", f"{booking.id}@qpuflow")
        event.add("dtstamp", now.astimezone(UTC))
        event.add("dtstart", booking.starts_at.astimezone(UTC))
        event.add("dtend", booking.ends_at.astimezone(UTC))
        event.add("summary", f"{booking.qpu}: {booking.project or 'maintenance'}")
        event.add("location", booking.qpu)
        event.add("status", _status(booking))
        if booking.note:
            event.add("description", booking.note)
        calendar.add_component(event)
    return calendar.to_ical()


def _status(booking: Booking) -> str:
    return "CANCELLED" if booking.state is BookingState.CANCELLED else "CONFIRMED"


def read(content: bytes, zone: tzinfo) -> list[Event]:
    """The events in force, oldest first. Times without a zone are those of `zone`.

    Raises `InputError` for what is no calendar, and for an event that repeats: which of its
    occurrences are booked would be a guess.
    """
    from icalendar import Calendar

    try:
        calendar = Calendar.from_ical(content)
        events = [_event(one, zone) for one in calendar.walk("VEVENT") if _is_in_force(one)]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(f"This is no iCalendar that can be read: {error}") from error
    return sorted(events, key=lambda event: event.period.starts_at)


def _is_in_force(component: Any) -> bool:
    return str(component.get("status", "")).upper() != "CANCELLED"


def _event(component: Any, zone: tzinfo) -> Event:
    uid = str(component["uid"])
    if "rrule" in component or "rdate" in component:
        raise InputError(f"Event {uid} repeats", remedy="Export each occurrence as an event.")
    period = Period(_moment(component.start, zone), _moment(component.end, zone))
    note = component.get("description") or component.get("summary")
    return Event(uid, period, str(note) if note else None)


def _moment(value: date, zone: tzinfo) -> datetime:
    """An event of whole days has dates only."""
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)  # noqa: DTZ001
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
