"""How a QPU is: what calibrations found, and what its instruments and its cryostat say."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from qpuflow.domain.quantity import Quantity
from qpuflow.ledger.schema.base import Base, one_of


class CalibrationRow(Base):
    """One quantity of one qubit at one time. Rows are never changed."""

    __tablename__ = "calibrations"
    __table_args__ = (
        one_of("quantity", Quantity),
        Index(None, "qpu", "quantity", "qubit", "measured_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    qpu: Mapped[str] = mapped_column(ForeignKey("qpus.name"))
    quantity: Mapped[str]
    qubit: Mapped[int]
    value: Mapped[float]
    error: Mapped[float]
    shots: Mapped[int]
    measured_at: Mapped[datetime]
    in_band: Mapped[bool | None]
    job_id: Mapped[UUID | None]
    """Of the job that measured it, which may be forgotten meanwhile."""
    details: Mapped[dict[str, Any]]


class TelemetryRow(Base):
    """One reading of one sensor; the unit ends the channel's name. None: it could not tell."""

    __tablename__ = "telemetry"
    __table_args__ = (Index("ix_telemetry_at", "at", postgresql_using="brin"),)

    qpu: Mapped[str] = mapped_column(ForeignKey("qpus.name"), primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    value: Mapped[float | None]
