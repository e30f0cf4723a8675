"""When credentials end, where nobody can ask their issuer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, Field


def _utc(given: datetime) -> datetime:
    """A time without a zone, as a form may give it, is UTC."""
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)


ExpiresAt = Annotated[
    Annotated[datetime, AfterValidator(_utc)] | None,
    Field(
        title="Expire at",
        description="If they end some day: `qpuflow qpus` and the worker's log say so two weeks "
        "before.",
    ),
]
