"""Users, projects, who belongs to which, and what each job cost."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Numeric
from sqlalchemy.orm import Mapped, mapped_column

from qpuflow.domain.principal import Role
from qpuflow.ledger.schema.base import Base, CreatedAt, one_of


class User(Base):
    __tablename__ = "users"

    name: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[CreatedAt]


class Project(Base):
    __tablename__ = "projects"

    name: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[CreatedAt]


class Member(Base):
    __tablename__ = "members"
    __table_args__ = (one_of("role", Role),)

    project: Mapped[str] = mapped_column(ForeignKey("projects.name"), primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.name"), primary_key=True)
    role: Mapped[str] = mapped_column(default=Role.USER.value)


class Charge(Base):
    """QPU time used by one job; at most one row a job, written with its result.

    It outlives the job, which is forgotten some day: hence no foreign key.
    """

    __tablename__ = "charges"
    __table_args__ = (
        CheckConstraint("seconds >= 0 AND cost >= 0", name="not_negative"),
        Index(None, "project", "qpu", "created_at"),
    )

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.name"))
    user: Mapped[str] = mapped_column(ForeignKey("users.name"))
    qpu: Mapped[str] = mapped_column(ForeignKey("qpus.name"))
    attempt: Mapped[int]
    seconds: Mapped[Decimal] = mapped_column(Numeric(18, 6))
    cost: Mapped[Decimal] = mapped_column(Numeric(18, 6), default=Decimal(0))
    unit: Mapped[str] = mapped_column(default="qpu-seconds")
    estimated_cost: Mapped[Decimal | None] = mapped_column(Numeric(18, 6))
    """What the driver expected before the job was handed over, in the same unit."""
    credits: Mapped[Decimal | None] = mapped_column(Numeric(18, 6))
    """What `cost` was worth by the rate of that moment; None where there was no rate."""
    created_at: Mapped[CreatedAt]
