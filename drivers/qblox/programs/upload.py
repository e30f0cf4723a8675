"""Programs that run one after the other in every repetition of one schedule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from qpuflow.drivers.qblox.programs.native import Acquire, NativeProgram, Operation, Timed
from qpuflow.drivers.qblox.programs.timing import Durations


@dataclass(frozen=True, slots=True)
class Upload:
    """`averaged`: the sequencers sum acquisitions up over the repetitions."""

    programs: tuple[NativeProgram, ...]
    repetitions: int
    averaged: bool = False

    @property
    def acquisitions_of(self) -> Counter[int]:
        """How many each qubit has in one repetition."""
        return sum((program.acquisitions_of for program in self.programs), Counter[int]())

    def timeline(self, durations: Durations) -> Iterator[Timed]:
        """All programs on one clock, each after its qubits have relaxed.

        Acquisitions are counted through all programs.
        """
        taken: Counter[int] = Counter()
        clock = 0
        for program in self.programs:
            clock += _relaxing_ns(program, durations)
            for timed in program.operations:
                yield Timed(clock + timed.start_ns, _counted(timed, taken))
            taken += program.acquisitions_of
            clock += program.duration_ns

    def duration_ns(self, durations: Durations) -> int:
        """Of one repetition."""
        return sum(
            _relaxing_ns(program, durations) + program.duration_ns for program in self.programs
        )


def _relaxing_ns(program: NativeProgram, durations: Durations) -> int:
    if program.resets:
        return 0
    return max((durations.relax[qubit] for qubit in program.qubits), default=0)


def _counted(timed: Timed, taken: Counter[int]) -> Operation:
    operation = timed.operation
    if isinstance(operation, Acquire):
        return replace(operation, index=operation.index + taken[operation.qubit])
    return operation
