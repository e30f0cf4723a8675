"""An IBM session: a device that is kept for one user from the session's first job on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from qpuflow.domain.booking import Period
from qpuflow.domain.vendor_calendar import VendorEvent


def events_of(told: Mapping[str, Any], now: datetime) -> list[VendorEvent]:
    """None before it is active, since IBM does not say when it will be, and none when it is over.

    https://quantum.cloud.ibm.com/docs/api/qiskit-runtime-rest/tags/sessions
    """
    start = _moment(told.get("activated_at") or told.get("started_at"))
    end = start and _end(start, told.get("active_ttl") or told.get("max_ttl"))
    name = told.get("id")
    if start is None or end is None or not name or told.get("state") == "closed":
        return []
    if end <= max(start, now):
        return []
    note = f"{told.get('mode') or 'dedicated'} session {name}"
    return [VendorEvent(str(name), Period(start, end), note)]


def _end(start: datetime, seconds: Any) -> datetime | None:
    try:
        return start + timedelta(seconds=float(seconds))
    except (TypeError, ValueError, OverflowError):
        return None


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
