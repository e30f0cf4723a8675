"""What a job is expected to cost before it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """QPU time in seconds, and money in the vendor's own unit where there is one."""

    seconds: float
    cost: float = 0.0
    unit: str = "qpu-seconds"
