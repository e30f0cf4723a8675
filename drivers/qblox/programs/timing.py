"""When each operation starts: as late as its successors allow, on the sequencers' grid.

Late, because a qubit that has not been touched yet is in its ground state and cannot decay.
Qiskit's own `ALAPScheduleAnalysis` neither takes control flow nor a feedback latency.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from qpuflow.drivers.qblox.config import DeviceFile
from qpuflow.drivers.qblox.config.values import on_grid
from qpuflow.drivers.qblox.programs.native import (
    Acquire,
    Conditional,
    ControlledPhase,
    Frame,
    Operation,
    Relax,
    Timed,
    TimedTurn,
    Turn,
)

FEEDBACK_NS = 400
"""From the end of an acquisition until its bit has reached every sequencer (Qblox: 364 ns)."""
BRANCH_NS = 8
"""What a conditional block takes beside its body."""


@dataclass(frozen=True, slots=True)
class Step:
    """An operation, or a pause or barrier without one, and the qubits that it keeps busy."""

    operation: Operation | None
    qubits: tuple[int, ...]
    duration_ns: int

    @property
    def resources(self) -> tuple[int | None, ...]:
        """What two steps cannot have at once: qubits, and (None) the one bit on its way."""
        match self.operation:
            case Acquire(feeds=True) | Conditional():
                return (*self.qubits, None)
            case _:
                return self.qubits


class Durations:
    """Of operations on one chip, in ns on the grid."""

    def __init__(self, chip: DeviceFile) -> None:
        qubits = list(chip.qubits.values())
        index = {name: position for position, name in enumerate(chip.qubits)}
        self._turn = [on_grid(qubit.drive.duration_seconds) for qubit in qubits]
        self._acquire = [on_grid(qubit.readout.duration_seconds) for qubit in qubits]
        self.relax = [on_grid(qubit.reset_seconds) for qubit in qubits]
        self._cz = {
            frozenset(index[name] for name in coupling.qubits): on_grid(
                coupling.cz.duration_seconds
            )
            for coupling in chip.couplings
        }

    def of(self, operation: Operation) -> int:
        match operation:
            case Turn(qubit=qubit):
                return self._turn[qubit]
            case Frame():
                return 0
            case ControlledPhase(first=first, second=second):
                return self._cz[frozenset((first, second))]
            case Relax(qubit=qubit):
                return self.relax[qubit]
            case Acquire(qubit=qubit):
                return self._acquire[qubit]
            case Conditional(body=body):
                ends = (timed.start_ns + self.of(timed.operation) for timed in body)
                return BRANCH_NS + max(ends, default=0)


def as_late_as_possible(steps: Sequence[Step]) -> tuple[tuple[Timed, ...], int]:
    """Operations in order of time, and how long all of it takes."""
    busy: defaultdict[int | None, int] = defaultdict(int)  # counted backwards from the end
    begins: list[tuple[int, Operation]] = []
    for step in reversed(steps):
        begin = max(busy[one] for one in step.resources) + step.duration_ns
        latency = FEEDBACK_NS if isinstance(step.operation, Conditional) else 0
        for one in step.resources:
            busy[one] = begin + (latency if one is None else 0)
        if step.operation is not None:
            begins.append((begin, step.operation))
    total = max((begin for begin, _ in begins), default=0)
    timed = [Timed(total - begin, operation) for begin, operation in reversed(begins)]
    return tuple(sorted(timed, key=lambda one: one.start_ns)), total


def one_after_the_other(operations: Sequence[Turn], durations: Durations) -> tuple[TimedTurn, ...]:
    """On each qubit, from 0."""
    clock: defaultdict[int, int] = defaultdict(int)
    timed: list[TimedTurn] = []
    for operation in operations:
        timed.append(TimedTurn(clock[operation.qubit], operation))
        clock[operation.qubit] += durations.of(operation)
    return tuple(sorted(timed, key=lambda one: one.start_ns))
