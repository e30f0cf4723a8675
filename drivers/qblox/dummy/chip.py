"""What the simulated chip is like. The device file is what somebody believes about it."""

from __future__ import annotations

from pydantic import Field

from qpuflow.drivers.qblox.config.values import Value

Point = tuple[float, float]


class Cloud(Value):
    """Where one qubit's states lie in the IQ plane, in full scales of the input.

    Each shot is scattered by `sigma` about its state's centre, the same in I and in Q.
    """

    ground: Point
    excited: Point
    sigma: float = Field(gt=0)


class DummyChip(Value):
    """An exact chip but for its readout."""

    clouds: dict[str, Cloud]
    seed: int | None = Field(
        default=None, description="For jobs that bring none of their own. Empty: fresh ones."
    )
    real_time: bool = Field(
        default=False, description="A run takes as long as it would on real instruments."
    )
