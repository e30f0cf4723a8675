"""The account book: what projects were given, what their open jobs keep, and requests for more.

What they used is in `charges`.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
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

from qpuflow.domain.quota import QPU_SECONDS, RequestState
from qpuflow.ledger.schema.base import Base, CreatedAt, one_of

AMOUNT = Numeric(18, 6)
NOTHING = text("0")


class AllowanceRow(Base):
    """What a project may use of a QPU or, without one, of all of them.

    The sums are kept with every entry of the book, in its transaction: granted of `grants`,
    reserved of `reservations`, charged of `charges` but for `charged_before` it was opened.
    """

    __tablename__ = "allowances"
    __table_args__ = (
        UniqueConstraint("project", "qpu", "unit"),
        Index(
            "uq_allowances_all_qpus",
            "project",
            "unit",
            unique=True,
            postgresql_where=text("qpu IS NULL"),
        ),
        CheckConstraint("charged >= 0 AND reserved >= 0", name="not_negative"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.name"))
    qpu: Mapped[str | None] = mapped_column(ForeignKey("qpus.name"))
    unit: Mapped[str] = mapped_column(default=QPU_SECONDS)
    granted: Mapped[Decimal] = mapped_column(AMOUNT, server_default=NOTHING)
    charged: Mapped[Decimal] = mapped_column(AMOUNT, server_default=NOTHING)
    reserved: Mapped[Decimal] = mapped_column(AMOUNT, server_default=NOTHING)
    charged_before: Mapped[Decimal] = mapped_column(AMOUNT, server_default=NOTHING)
    opened_at: Mapped[CreatedAt]


class GrantRow(Base):
    """Append-only: what an operator gave or, below zero, took back."""

    __tablename__ = "grants"
    __table_args__ = (
        CheckConstraint("amount <> 0", name="amount"),
        Index(None, "allowance_id", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    allowance_id: Mapped[int] = mapped_column(ForeignKey("allowances.id"))
    amount: Mapped[Decimal] = mapped_column(AMOUNT)
    granted_by: Mapped[str]
    via: Mapped[str]
    note: Mapped[str | None]
    request_id: Mapped[UUID | None] = mapped_column(ForeignKey("quota_requests.id"), unique=True)
    created_at: Mapped[CreatedAt]


class ReservationRow(Base):
    """What an open job keeps of an allowance. It is gone when the job has ended."""

    __tablename__ = "reservations"
    __table_args__ = (CheckConstraint("amount >= 0", name="amount"),)

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    allowance_id: Mapped[int] = mapped_column(ForeignKey("allowances.id"), primary_key=True)
    amount: Mapped[Decimal] = mapped_column(AMOUNT)


class QuotaRequestRow(Base):
    """A member's wish for more, and an operator's answer."""

    __tablename__ = "quota_requests"
    __table_args__ = (
        one_of("state", RequestState),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint(
            "(state = 'pending') = (decided_at IS NULL) AND (state = 'pending') = "
            "(decided_by IS NULL) AND (state = 'approved') = (granted IS NOT NULL)",
            name="decided",
        ),
        Index(None, "project", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.name"))
    qpu: Mapped[str | None] = mapped_column(ForeignKey("qpus.name"))
    unit: Mapped[str] = mapped_column(default=QPU_SECONDS)
    amount: Mapped[Decimal] = mapped_column(AMOUNT)
    reason: Mapped[str]
    requested_by: Mapped[str]
    created_at: Mapped[CreatedAt]
    state: Mapped[str] = mapped_column(default=RequestState.PENDING.value)
    granted: Mapped[Decimal | None] = mapped_column(AMOUNT)
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    answer: Mapped[str | None]


class FirstAllowanceRow(Base):
    """What every new project is given for all QPUs together; no row: it has no limit."""

    __tablename__ = "first_allowances"
    __table_args__ = (CheckConstraint("amount >= 0", name="amount"),)

    unit: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[Decimal] = mapped_column(AMOUNT)
    set_by: Mapped[str]
    set_at: Mapped[CreatedAt]
