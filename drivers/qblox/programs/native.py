"""What a chip does: operations on numbered qubits, each with the time at which it starts.

It says neither Qiskit nor the name of a scheduler: circuits are written into it, schedules are
made from it, and the dummy rack simulates it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    """By `theta` about the axis at `phi` in the equator (0: x, 90: y), both in degrees."""

    qubit: int
    theta: float
    phi: float

    @property
    def reversed(self) -> Turn:
        return Turn(self.qubit, -self.theta, self.phi)


@dataclass(frozen=True, slots=True)
class Frame:
    """A turn about z, done by turning the axes of what follows."""

    qubit: int
    degrees: float

    @property
    def reversed(self) -> Frame:
        return Frame(self.qubit, -self.degrees)


@dataclass(frozen=True, slots=True)
class ControlledPhase:
    """A CZ, by the flux line of `first`."""

    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Relax:
    qubit: int


@dataclass(frozen=True, slots=True)
class Acquire:
    """A measurement; `index` counts those of the qubit. `feeds`: a condition waits for its bit."""

    qubit: int
    index: int
    feeds: bool = False


@dataclass(frozen=True, slots=True)
class TimedTurn:
    start_ns: int
    operation: Turn


@dataclass(frozen=True, slots=True)
class Conditional:
    """`body` if the latest acquisition of `source` was a 1; times in it are its own."""

    source: int
    body: tuple[TimedTurn, ...]

    @property
    def targets(self) -> frozenset[int]:
        return frozenset(timed.operation.qubit for timed in self.body)


Operation = Turn | Frame | ControlledPhase | Relax | Acquire | Conditional


@dataclass(frozen=True, slots=True)
class Timed:
    start_ns: int
    operation: Operation


@dataclass(frozen=True, slots=True)
class NativeProgram:
    """One circuit with its values, in order of time from 0.

    `bits[i]` is the acquisition that classical bit i holds in the end, None where it was never
    written and so is 0. Qubits are relaxed before it, unless it `resets` them itself.
    """

    operations: tuple[Timed, ...]
    duration_ns: int
    bits: tuple[Acquire | None, ...]
    resets: bool = False

    @property
    def acquisitions(self) -> tuple[Acquire, ...]:
        return tuple(o.operation for o in self.operations if isinstance(o.operation, Acquire))

    @property
    def has_conditions(self) -> bool:
        return any(acquire.feeds for acquire in self.acquisitions)

    @property
    def acquisitions_of(self) -> Counter[int]:
        """How many each qubit has."""
        return Counter(acquire.qubit for acquire in self.acquisitions)

    @property
    def qubits(self) -> frozenset[int]:
        """Those that anything is done to."""
        return frozenset(q for timed in self.operations for q in qubits_of(timed.operation))


def qubits_of(operation: Operation) -> tuple[int, ...]:
    """Those that it keeps busy."""
    match operation:
        case ControlledPhase(first=first, second=second):
            return (first, second)
        case Conditional():
            return tuple(sorted(operation.targets))
        case _:
            return (operation.qubit,)
