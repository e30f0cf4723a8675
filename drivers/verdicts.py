"""What a vendor's error says about the work: each driver has one table from codes to verdicts."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from qpuflow.domain.errors import (
    InputError,
    NotFound,
    OutcomeUnknown,
    QpuflowError,
    Refused,
    Unavailable,
)


class Verdict(StrEnum):
    REJECTED = "rejected"
    """Certainly not accepted, and never will be as it is."""
    REFUSED = "refused"
    """Certainly not accepted now: busy, offline, throttled, never reached."""
    DENIED = "denied"
    """Certainly not accepted: credentials or rights are missing."""
    MISSING = "missing"
    """The vendor knows of no such thing."""
    ACCEPTED = "accepted"
    """Certainly accepted before: the vendor will tell under which name."""
    UNKNOWN = "unknown"
    """The request may have been carried out."""


def error_of(
    verdict: Verdict,
    what: str,
    *,
    where: str,
    submitting: bool,
    remedy: str | None = None,
    retry_after_seconds: float | None = None,
) -> QpuflowError:
    """The error to raise. Only where something was to be submitted does acceptance matter."""
    place: dict[str, Any] = {"where": where, "remedy": remedy}
    match verdict:
        case Verdict.REJECTED:
            return InputError(what, **place)
        case Verdict.MISSING if not submitting:
            return NotFound(what, **place)
        case Verdict.UNKNOWN | Verdict.ACCEPTED if submitting:
            kind: type[Unavailable] = OutcomeUnknown
        case _:
            kind = Refused if submitting else Unavailable
    return kind(what, **place, retry_after_seconds=retry_after_seconds)
