"""What a job is expected to cost before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qpuflow.domain.device import Pace
    from qpuflow.domain.parsing import ParsedProgram
    from qpuflow.domain.request import JobRequest


@dataclass(frozen=True, slots=True)
class Estimate:
    """QPU time in seconds, and money in the vendor's own unit where there is one."""

    seconds: float
    cost: float = 0.0
    unit: str = "qpu-seconds"


def guess(request: JobRequest, parsed: Sequence[ParsedProgram], pace: Pace) -> Estimate:
    """Before anything is compiled; the driver's own estimate takes its place when it is."""
    from qpuflow.domain.observables import count_settings

    seconds = pace.job_seconds
    for program, read in zip(request.programs, parsed, strict=True):
        circuits = max(len(program.parameters), 1) * count_settings(read, program.observables)
        shot = pace.shot_seconds + read.depth * pace.layer_seconds
        seconds += circuits * (pace.circuit_seconds + request.shots * shot)
    return Estimate(seconds)
