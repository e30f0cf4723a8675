"""What jobs may cost: rates, limits for one job, and what operators are asked about."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from qpuflow.domain.quota import RequestState
from qpuflow.ledger.schema.base import Base, CreatedAt, one_of
from qpuflow.ledger.schema.quotas import AMOUNT


class RateRow(Base):
    """Credits for one of a unit; without a QPU: on all that have no rate of their own."""

    __tablename__ = "credit_rates"
    __table_args__ = (
        CheckConstraint("credits >= 0", name="credits"),
        Index("uq_credit_rates", "unit", text("coalesce(qpu, '')"), unique=True),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    unit: Mapped[str]
    qpu: Mapped[str | None] = mapped_column(ForeignKey("qpus.name"))
    credits: Mapped[Decimal] = mapped_column(AMOUNT)
    set_by: Mapped[str]
    set_at: Mapped[CreatedAt]


class CostLimitRow(Base):
    """For one job of a project on a QPU; without one of them, of all."""

    __tablename__ = "cost_limits"
    __table_args__ = (
        CheckConstraint("ask_above >= 0 AND refuse_above >= 0", name="amounts"),
        CheckConstraint("ask_above IS NOT NULL OR refuse_above IS NOT NULL", name="something"),
        Index(
            "uq_cost_limits",
            text("coalesce(project, '')"),
            text("coalesce(qpu, '')"),
            "unit",
            unique=True,
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    project: Mapped[str | None] = mapped_column(ForeignKey("projects.name"))
    qpu: Mapped[str | None] = mapped_column(ForeignKey("qpus.name"))
    unit: Mapped[str]
    ask_above: Mapped[Decimal | None] = mapped_column(AMOUNT)
    refuse_above: Mapped[Decimal | None] = mapped_column(AMOUNT)
    set_by: Mapped[str]
    set_at: Mapped[CreatedAt]


class ApprovalRow(Base):
    """What an operator is asked about one job, and the answer. Every answer is an event, too."""

    __tablename__ = "cost_approvals"
    __table_args__ = (
        one_of("state", RequestState),
        CheckConstraint("amount >= 0 AND approved >= amount", name="amounts"),
        CheckConstraint(
            "(state = 'pending') = (decided_at IS NULL) AND (state = 'pending') = "
            "(decided_by IS NULL) AND (state = 'approved') = (approved IS NOT NULL)",
            name="decided",
        ),
    )

    job_id: Mapped[UUID] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    amount: Mapped[Decimal] = mapped_column(AMOUNT)
    unit: Mapped[str]
    why: Mapped[str]
    asked_at: Mapped[CreatedAt]
    state: Mapped[str] = mapped_column(default=RequestState.PENDING.value)
    approved: Mapped[Decimal | None] = mapped_column(AMOUNT)
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    answer: Mapped[str | None]
