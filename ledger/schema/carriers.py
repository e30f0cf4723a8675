"""Batches of jobs, and the Prefect runs that carry them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from qpuflow.ledger.schema.base import Base, CreatedAt, one_of


class BatchKind(StrEnum):
    SINGLE = "single"
    """One job, started in Prefect as `run_circuits`."""
    SHARED = "shared"
    """Jobs of one user that arrived close together, carried by `run_batch`."""


class BatchState(StrEnum):
    OPEN = "open"
    RUNNING = "running"
    """Its carrier is at work; new jobs may still join."""
    CLOSED = "closed"


class CarrierState(StrEnum):
    PENDING = "pending"
    """Its flow run is still to be created: the outbox."""
    LIVE = "live"
    DONE = "done"
    LOST = "lost"


class Batch(Base):
    """Jobs of one user and project on one QPU, with one earliest start, that share a carrier."""

    __tablename__ = "batches"
    __table_args__ = (
        one_of("kind", BatchKind),
        one_of("state", BatchState),
        Index(
            "uq_batches_accepting",
            "qpu",
            "user",
            "project",
            text("coalesce(not_before, '-infinity')"),
            unique=True,
            postgresql_where=text("kind = 'shared' AND state <> 'closed'"),
        ),
        Index("ix_batches_later", "not_before", postgresql_where=text("not_before IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(default=BatchState.OPEN.value)
    qpu: Mapped[str] = mapped_column(ForeignKey("qpus.name"))
    user: Mapped[str] = mapped_column(ForeignKey("users.name"))
    project: Mapped[str] = mapped_column(ForeignKey("projects.name"))
    job_count: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime | None]
    """None: its jobs could start when they were accepted."""
    created_at: Mapped[CreatedAt]
    closed_at: Mapped[datetime | None]


class Carrier(Base):
    """One flow run for one batch. A batch has at most one that is pending or live."""

    __tablename__ = "carriers"
    __table_args__ = (
        one_of("state", CarrierState),
        UniqueConstraint("batch_id", "number"),
        Index(
            "uq_carriers_current",
            "batch_id",
            unique=True,
            postgresql_where=text("state IN ('pending', 'live')"),
        ),
        Index("ix_carriers_outbox", "created_at", postgresql_where=text("state = 'pending'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    batch_id: Mapped[UUID] = mapped_column(ForeignKey("batches.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(default=1)
    state: Mapped[str] = mapped_column(default=CarrierState.PENDING.value)
    flow_run_id: Mapped[UUID | None] = mapped_column(index=True)
    holder: Mapped[str | None]
    """Host and process that runs it."""
    heartbeat_at: Mapped[datetime | None]
    asleep_at: Mapped[datetime | None]
    """Since when the QPU has all of its jobs, and its run is in no process."""
    resting_since: Mapped[datetime | None]
    """Somebody suspended its run: nobody is to start it until it is resumed."""
    lost_because: Mapped[str | None]
    created_at: Mapped[CreatedAt]
