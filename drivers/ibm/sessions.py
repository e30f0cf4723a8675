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
    seconds = told.get("active_ttl") or told.get("max_ttl")
    if start is None or not seconds or told.get("state") == "closed":
        return []
    end = start + timedelta(seconds=float(seconds))
    if end <= now:
        return []
    note = f"{told.get('mode') or 'dedicated'} session {told['id']}"
    return [VendorEvent(str(told["id"]), Period(start, end), note)]


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
