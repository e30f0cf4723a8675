"""What the simulated chip is like. The device file is what somebody believes about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from qpuflow.drivers.qblox.config.values import Value

Point = tuple[float, float]


class Cloud(Value):
    """Where one qubit's states lie in the IQ plane, in full scales of the input.

    Each shot is scattered by `sigma` about its state's centre, the same in I and in Q.
    """

    ground: Point
    excited: Point
    sigma: float = Field(gt=0)


class Relaxation(Value):
    """How long one qubit keeps its state. Resets are perfect all the same."""

    t1_seconds: float = Field(gt=0)
    t2_seconds: float = Field(gt=0)

    @model_validator(mode="after")
    def _physical(self) -> Self:
        if self.t2_seconds > 2 * self.t1_seconds:
            raise ValueError("t2_seconds is at most twice t1_seconds")
        return self


class DummyChip(Value):
    """An exact chip but for its readout, and for what its qubits forget."""

    clouds: dict[str, Cloud]
    relaxation: dict[str, Relaxation] = Field(
        default_factory=dict[str, Relaxation], description="Of qubits that are not exact."
    )
    seed: int | None = Field(
        default=None, description="For jobs that bring none of their own. Empty: fresh ones."
    )
    real_time: bool = Field(
        default=False, description="A run takes as long as it would on real instruments."
    )

    def relaxation_of(self, names: Sequence[str]) -> dict[int, Relaxation]:
        """By index, of those that are not exact."""
        known = {index: self.relaxation.get(name) for index, name in enumerate(names)}
        return {index: one for index, one in known.items() if one is not None}
