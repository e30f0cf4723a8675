"""Jobs, their programs, what was handed to a QPU, and everything that ever happened to them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from qpuflow.domain.job import JobState
from qpuflow.domain.request import ProgramFormat
from qpuflow.ledger.schema.base import Base, CreatedAt, one_of


class IntentState(StrEnum):
    OPEN = "open"
    """Written; the QPU may or may not have been called."""
    ACCEPTED = "accepted"
    REFUSED = "refused"
    AMBIGUOUS = "ambiguous"


class JobRow(Base):
    __tablename__ = "jobs"
    __table_args__ = (
        one_of("state", JobState),
        UniqueConstraint("user", "key"),
        CheckConstraint("shots >= 1 AND attempt >= 1 AND estimate_seconds >= 0", name="numbers"),
        CheckConstraint("start_by > not_before", name="start"),
        CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('completed', 'failed', 'cancelled'))",
            name="finished",
        ),
        Index(
            "ix_jobs_open",
            "qpu",
            "created_at",
            postgresql_where=text("state NOT IN ('completed', 'failed', 'cancelled')"),
        ),
        Index("ix_jobs_queued", "batch_id", "number", postgresql_where=text("state = 'queued'")),
        Index(
            "ix_jobs_moved_up",
            "batch_id",
            postgresql_where=text("moved_up_at IS NOT NULL AND state = 'queued'"),
        ),
        Index(
            "ix_jobs_at_qpu",
            "batch_id",
            postgresql_where=text("state IN ('running', 'waiting', 'ambiguous')"),
        ),
        Index("ix_jobs_asking", "qpu", "number", postgresql_where=text("asks_since IS NOT NULL")),
        Index(
            "ix_jobs_to_start",
            "qpu",
            "project",
            "number",
            postgresql_where=text("state IN ('queued', 'preparing')"),
        ),
        Index(
            "ix_jobs_start_by",
            "start_by",
            postgresql_where=text("start_by IS NOT NULL AND state IN ('queued', 'unapproved')"),
        ),
        Index(None, "batch_id"),
        Index(None, "user", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, Identity(always=True), unique=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.name"))
    project: Mapped[str] = mapped_column(ForeignKey("projects.name"))
    qpu: Mapped[str] = mapped_column(ForeignKey("qpus.name"))
    key: Mapped[str]
    content_hash: Mapped[str]
    state: Mapped[str] = mapped_column(default=JobState.QUEUED.value)
    reason: Mapped[str | None]
    shots: Mapped[int]
    options: Mapped[dict[str, Any]]
    program_count: Mapped[int]
    batch_id: Mapped[UUID] = mapped_column(ForeignKey("batches.id"))
    attempt: Mapped[int] = mapped_column(default=1)
    carriers_lost: Mapped[int] = mapped_column(default=0)
    """Since it was queued, or retried by a person: what the cap counts."""
    estimate_seconds: Mapped[float] = mapped_column(default=0.0)
    estimate_cost: Mapped[Decimal | None] = mapped_column(Numeric(18, 6))
    """The driver's, in `cost_unit`; None before it was asked, and where time is all there is."""
    cost_unit: Mapped[str | None]
    timings: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    created_at: Mapped[CreatedAt]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    start_by: Mapped[datetime | None]
    """The earliest start, and the latest that is of use."""
    asks_since: Mapped[datetime | None]
    """Since when it is ready to run and its carrier asks for a lane."""
    moved_up_at: Mapped[datetime | None]
    """When an operator moved it to the front."""


class ProgramRow(Base):
    __tablename__ = "programs"
    __table_args__ = (one_of("format", ProgramFormat), UniqueConstraint("job_id", "name"))

    job_id: Mapped[UUID] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    format: Mapped[str]
    source_hash: Mapped[str] = mapped_column(ForeignKey("payloads.hash"), index=True)
    parameters: Mapped[list[Any]]
    observables: Mapped[dict[str, Any]]
    num_qubits: Mapped[int]
    num_clbits: Mapped[int]


class Intent(Base):
    """Written before a QPU is called: from then on `token` says whether it was."""

    __tablename__ = "intents"
    __table_args__ = (
        one_of("state", IntentState),
        UniqueConstraint("job_id", "attempt"),
    )

    token: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    content_hash: Mapped[str]
    fencing_token: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(default=IntentState.OPEN.value)
    created_at: Mapped[CreatedAt]


class TicketRow(Base):
    """What the QPU gave in return for an intent."""

    __tablename__ = "tickets"

    token: Mapped[str] = mapped_column(
        ForeignKey("intents.token", ondelete="CASCADE"), primary_key=True
    )
    remote_id: Mapped[str]
    details: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]


class JobEvent(Base):
    """Append-only: who did what to a job, when, and through what."""

    __tablename__ = "job_events"
    __table_args__ = (Index(None, "job_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    at: Mapped[CreatedAt]
    actor: Mapped[str]
    via: Mapped[str]
    from_state: Mapped[str | None]
    to_state: Mapped[str]
    detail: Mapped[str | None]
