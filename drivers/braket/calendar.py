"""When a Braket device works, and when it is reserved for this account (Braket Direct)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, time
from typing import Any

from qpuflow.domain.booking import Period
from qpuflow.domain.vendor_calendar import AHEAD, DAYS, VendorEvent, Window, occurrences
from qpuflow.drivers.braket.settings import Reservation


def windows(service: Mapping[str, Any]) -> list[Window]:
    """Of a device's service properties, whose hours are UTC. What is unknown is left out."""
    told = service.get("executionWindows") or ()
    return [window for one in told if (window := _window(one)) is not None]


def _window(told: Any) -> Window | None:
    try:
        return Window(
            DAYS[str(told["executionDay"]).lower()],
            time.fromisoformat(str(told["windowStartHour"])).replace(tzinfo=None),
            time.fromisoformat(str(told["windowEndHour"])).replace(tzinfo=None),
        )
    except (KeyError, TypeError, ValueError):
        return None


def events(
    service: Mapping[str, Any], reservations: Sequence[Reservation], now: datetime
) -> list[VendorEvent]:
    """Of the next weeks. A device that works day and night has no windows worth a line."""
    return [*_executions(windows(service), now), *_reserved(reservations, now)]


def _executions(found: Iterable[Window], now: datetime) -> Iterable[VendorEvent]:
    for window in found:
        if not window.is_always:
            for period in occurrences(window, now, now + AHEAD):
                yield VendorEvent(f"window {period.starts_at.isoformat()}", period, "tasks run")


def _reserved(reservations: Iterable[Reservation], now: datetime) -> Iterable[VendorEvent]:
    for one in reservations:
        if one.ends_at > now:
            yield VendorEvent(one.arn, Period(one.starts_at, one.ends_at), f"reserved: {one.arn}")


def reserved_now(reservations: Iterable[Reservation], now: datetime) -> str | None:
    """The ARN under which tasks that are created now go before all others."""
    return next((one.arn for one in reservations if one.starts_at <= now < one.ends_at), None)
