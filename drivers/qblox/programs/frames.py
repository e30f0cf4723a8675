"""Phases by the sequencers' oscillators: every pulse of a qubit is then the same waveform.

A sequencer has memory for some four hundred waveforms, and its oscillator takes one change of
phase in 4 ns. So a pulse's axis, the changes of frame before it, and what undoes the phase shifts
of a CZ's flux pulse are one change right before the pulse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from qpuflow.drivers.qblox.config import DeviceFile
from qpuflow.drivers.qblox.programs.gates import half_turns
from qpuflow.drivers.qblox.programs.native import (
    Conditional,
    ControlledPhase,
    Frame,
    Timed,
    Turn,
)

_LEAST_DEGREES = 1e-6


def by_oscillator(timeline: Iterable[Timed], chip: DeviceFile) -> Iterator[Timed]:
    """The same operations with all turns about x, and frames only right before them.

    Under a condition no frame can change: those pulses keep a phase of their own. What is left
    of the frames at the end is dropped, for nothing sees it.
    """
    phases = _Phases(chip)
    for timed in timeline:
        match timed.operation:
            case Frame(qubit=qubit, degrees=degrees):
                phases.axes[qubit] += degrees
            case ControlledPhase(first=first, second=second):
                yield replace(timed, operation=phases.coupled(first, second))
            case Turn() as turn:
                if frame := phases.change_for(turn):
                    yield Timed(timed.start_ns, frame)
                yield replace(timed, operation=replace(turn, phi=0.0))
            case Conditional(body=body) as conditional:
                inner = [replace(one, operation=phases.relative(one.operation)) for one in body]
                yield replace(timed, operation=replace(conditional, body=tuple(inner)))
            case _:
                yield timed


class _Phases:
    """In degrees, by qubit: how its axes are turned, and how its oscillator is."""

    def __init__(self, chip: DeviceFile) -> None:
        self.axes: defaultdict[int, float] = defaultdict(float)
        self._oscillator: defaultdict[int, float] = defaultdict(float)
        index = {name: position for position, name in enumerate(chip.qubits)}
        self._couplings = {
            frozenset(pair): (pair, one.cz.phases_degrees)
            for one in chip.couplings
            for pair in [(index[one.qubits[0]], index[one.qubits[1]])]
        }

    def coupled(self, first: int, second: int) -> ControlledPhase:
        """The CZ as the device file has it: by whose flux line, and what it shifts."""
        pair, shifts = self._couplings[frozenset((first, second))]
        for qubit, shift in zip(pair, shifts, strict=True):
            self.axes[qubit] -= shift  # to shift a drive is to turn its qubit back
        return ControlledPhase(*pair)

    def relative(self, turn: Turn) -> Turn:
        """As the oscillator would play it now."""
        phase = turn.phi - self.axes[turn.qubit] - self._oscillator[turn.qubit]
        return replace(turn, phi=half_turns(phase))

    def change_for(self, turn: Turn) -> Frame | None:
        """What brings the oscillator to the turn's axis."""
        shift = self.relative(turn).phi
        if abs(shift) < _LEAST_DEGREES:
            return None
        self._oscillator[turn.qubit] += shift
        return Frame(turn.qubit, -shift)
