"""QPUs, the time booked on them, and the right to run on one now."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column

from qpuflow.domain.booking import BookingKind, BookingState
from qpuflow.domain.device import Control, DeviceStatus
from qpuflow.ledger.schema.base import Base, CreatedAt, one_of


class Qpu(Base):
    __tablename__ = "qpus"
    __table_args__ = (
        one_of("status", DeviceStatus),
        one_of("control", Control),
        CheckConstraint("lanes >= 1", name="lanes"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    block: Mapped[str]
    """Prefect block that builds the driver, as ``type-slug/document-name``."""
    pool: Mapped[str]
    lanes: Mapped[int] = mapped_column(default=1)
    projects: Mapped[list[str]] = mapped_column(server_default="{}")
    """Only they may use it; empty: everybody."""
    device: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(default=DeviceStatus.ONLINE.value)
    status_reason: Mapped[str | None]
    control: Mapped[str] = mapped_column(server_default=Control.OPEN.value)
    """What operators let it do; `status` is what it says of itself."""
    control_reason: Mapped[str | None]
    fencing_token: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[CreatedAt]
    synced_at: Mapped[datetime]


class ControlEvent(Base):
    """An operator changed what a QPU may do."""

    __tablename__ = "control_events"
    __table_args__ = (Index(None, "qpu", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    qpu: Mapped[str] = mapped_column(ForeignKey("qpus.name"))
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    actor: Mapped[str]
    via: Mapped[str]
    from_control: Mapped[str]
    to_control: Mapped[str]
    reason: Mapped[str | None]


class BookingRow(Base):
    """`[starts_at, ends_at)` of one QPU. Rows of another source are a vendor's calendar."""

    __tablename__ = "bookings"
    __table_args__ = (
        one_of("kind", BookingKind),
        one_of("state", BookingState),
        CheckConstraint("starts_at < ends_at", name="forwards"),
        CheckConstraint("kind <> 'project' OR project IS NOT NULL", name="owner"),
        ExcludeConstraint(
            ("qpu", "="),
            (func.tstzrange(text("starts_at"), text("ends_at")), "&&"),
            where=text("source = 'qpuflow' AND state = 'active'"),
            using="gist",
            name="ex_bookings_one_at_a_time",
        ),
        Index(None, "qpu", "ends_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    qpu: Mapped[str] = mapped_column(ForeignKey("qpus.name"))
    project: Mapped[str | None] = mapped_column(ForeignKey("projects.name"))
    kind: Mapped[str] = mapped_column(default=BookingKind.PROJECT.value)
    state: Mapped[str] = mapped_column(default=BookingState.ACTIVE.value)
    source: Mapped[str] = mapped_column(default="qpuflow")
    source_id: Mapped[str | None]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(ForeignKey("users.name"))
    created_at: Mapped[CreatedAt]
    note: Mapped[str | None]


class Lease(Base):
    """A carrier's right to run on a QPU now. The token only grows."""

    __tablename__ = "leases"
    __table_args__ = (
        Index("ix_leases_held", "qpu", postgresql_where=text("released_at IS NULL")),
        Index(
            "ix_leases_uncounted",
            "qpu",
            postgresql_where=text("released_at IS NOT NULL AND NOT counted"),
        ),
        Index(None, "qpu", "project", "released_at"),
        Index(None, "carrier_id"),
    )

    qpu: Mapped[str] = mapped_column(ForeignKey("qpus.name"), primary_key=True)
    fencing_token: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    carrier_id: Mapped[UUID] = mapped_column(ForeignKey("carriers.id", ondelete="CASCADE"))
    user: Mapped[str]
    project: Mapped[str]
    granted_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    """When the work is expected to be done."""
    expires_at: Mapped[datetime]
    """When the lane is free whatever happens, unless the lease is renewed."""
    released_at: Mapped[datetime | None]
    counted: Mapped[bool] = mapped_column(server_default=false())
    """Its time is in `usages`."""


class Usage(Base):
    """How long a user has had a QPU, the past weighing less and less, as of a moment."""

    __tablename__ = "usages"

    qpu: Mapped[str] = mapped_column(ForeignKey("qpus.name"), primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.name"), primary_key=True)
    seconds: Mapped[float]
    as_of: Mapped[datetime]
