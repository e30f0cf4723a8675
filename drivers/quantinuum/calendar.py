"""Quantinuum's calendar: who has a machine when, and when it is in maintenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from qpuflow.domain.booking import Period
from qpuflow.domain.vendor_calendar import VendorEvent


def events_of(told: Sequence[Mapping[str, str]], machine: str) -> list[VendorEvent]:
    """Times are UTC, without saying so. What cannot be read is left out: it is for display."""
    found = [_event(one) for one in told if one.get("machine") == machine]
    return [one for one in found if one is not None]


def _event(told: Mapping[str, str]) -> VendorEvent | None:
    try:
        start, end = (
            datetime.fromisoformat(told[key]).replace(tzinfo=UTC)
            for key in ("start-date", "end-date")
        )
    except (KeyError, ValueError):
        return None
    kind, whose = told.get("event-type", "event"), told.get("organization")
    if end <= start:
        return None
    note = f"{kind} of {whose}" if whose else kind
    return VendorEvent(f"{told['start-date']} {note}", Period(start, end), note)
