"""What of OpenQASM's ``if`` a sequencer can do: one bit decides about pulses on single qubits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qpuflow.domain.branches import deciding_bit
from qpuflow.domain.errors import InputError
from qpuflow.drivers.qblox.programs.gates import gate, half_turns
from qpuflow.drivers.qblox.programs.native import Frame, Turn

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

Pulses = list[Turn | Frame]


@dataclass(frozen=True, slots=True)
class Branch:
    """What to do if the classical bit is 0, and what if it is 1."""

    clbit: int
    if_zero: Pulses
    if_one: Pulses


def branch_of(circuit: QuantumCircuit, instruction: Any, where: str) -> Branch:
    operation: Any = instruction.operation
    bit, value = _condition(operation.condition, where)
    places = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
    found: tuple[Pulses, Pulses] = ([], [])
    for block, when in zip(operation.blocks, (value, 1 - value), strict=False):
        for inner in block.data:
            name = inner.operation.name
            qubits = [places[block.find_bit(qubit).index] for qubit in inner.qubits]
            if name == "barrier":
                continue
            pulse = gate(name, inner.operation.params, qubits, where) if len(qubits) == 1 else None
            if not isinstance(pulse, Turn | Frame):
                raise _impossible(f"{name!r} under a condition", where)
            found[when].append(pulse)
    return Branch(circuit.find_bit(bit).index, *found)


def _condition(condition: Any, where: str) -> tuple[Any, int]:
    """The bit, and the value at which the first block is taken."""
    found = deciding_bit(condition)
    if found is None:
        raise _impossible("A condition on several bits", where)
    return found


def _impossible(what: str, where: str) -> InputError:
    return InputError(
        f"{what} is more than the sequencers can do",
        where=where,
        remedy="One measured bit can decide about gates on single qubits.",
    )


def in_pulses(operations: Sequence[Turn | Frame]) -> list[Turn]:
    """The same in pulses alone: a sequencer can leave out a pulse, but not a change of frame.

    A frame is moved behind the turns that follow it, whose axes turn back by it; what is left of
    it in the end is two half turns, about axes that differ by half its angle.
    """
    frames: defaultdict[int, float] = defaultdict(float)
    turns: list[Turn] = []
    for one in operations:
        if isinstance(one, Frame):
            frames[one.qubit] += one.degrees
        else:
            turns.append(replace(one, phi=one.phi - frames[one.qubit]))
    for qubit, angle in frames.items():
        if abs(rest := half_turns(angle)) > 1e-9:
            turns += [Turn(qubit, 180.0, 0.0), Turn(qubit, 180.0, rest / 2)]
    return turns
