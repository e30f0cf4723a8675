"""What was measured of a QPU's qubits, and whether it is as it should be."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from qpuflow.domain.quantity import Quantity

Matrix = tuple[tuple[float, float], tuple[float, float]]


class Band(BaseModel):
    """Where a quantity should be; an end that is None is open."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float | None = None
    high: float | None = None

    def holds(self, value: float) -> bool:
        above = self.low is None or value >= self.low
        return above and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        low = "" if self.low is None else f"{self.low:g}"
        high = "" if self.high is None else f"{self.high:g}"
        return f"{low}..{high}"


class OnDrift(StrEnum):
    """What happens to a QPU of which a quantity is out of its band."""

    WARN = "warn"
    HOLD = "hold"
    """It is paused: jobs are accepted, and wait for an operator."""


class CalibrationPlan(BaseModel):
    """What is measured of a QPU, how often, and what should come out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every_hours: float | None = Field(
        default=24.0, gt=0, title="Every so many hours", description="Empty: only when asked to."
    )
    quantities: tuple[Quantity, ...] = Field(default=tuple(Quantity), title="Quantities")
    shots: int = Field(default=1000, ge=100, title="Shots of each circuit")
    longest_delay_seconds: float = Field(
        default=2e-4, gt=0, le=0.01, description="Of T1 and T2: about twice what is expected."
    )
    bands: dict[Quantity, Band] = Field(
        default_factory=dict[Quantity, Band],
        description='Where each quantity should be, as {"t1": {"low": 2e-5}, '
        '"gate": {"high": 0.001}}.',
    )
    on_drift: OnDrift = Field(
        default=OnDrift.WARN, title="On drift", description="hold pauses the QPU."
    )
    patience_seconds: float = Field(
        default=1800.0, gt=0, description="How long it may wait for users' jobs before it gives up."
    )


@dataclass(frozen=True, slots=True)
class Measured:
    """One quantity of one qubit. `error` is the standard error, of the fit or of the sampling."""

    quantity: Quantity
    qubit: int
    value: float
    error: float
    shots: int
    measured_at: datetime
    in_band: bool | None = None
    """None where no band is set."""
    job_id: UUID | None = None
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    """``confusion`` of a readout; what was fitted of the others."""

    @property
    def has_drifted(self) -> bool:
        return self.in_band is False


@dataclass(frozen=True, slots=True)
class Confusion:
    """Of one qubit's readout. `matrix[measured][prepared]`: each column adds up to 1.

    The order is that of Qiskit's assignment matrices. `shots` were taken of each state.
    """

    qubit: int
    matrix: Matrix
    shots: int
    measured_at: datetime

    @property
    def fidelity(self) -> float:
        return (self.matrix[0][0] + self.matrix[1][1]) / 2
