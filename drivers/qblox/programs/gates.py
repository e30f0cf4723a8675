"""Qiskit's gates by name, as the chip's operations."""

from __future__ import annotations

from collections.abc import Sequence
from math import degrees

from qpuflow.domain.errors import InputError
from qpuflow.drivers.qblox.programs.native import ControlledPhase, Frame, Operation, Relax, Turn

_TURNS = {"x": (180.0, 0.0), "y": (180.0, 90.0), "sx": (90.0, 0.0)}
_AXES = {"rx": 0.0, "ry": 90.0}


def gate(name: str, params: Sequence[float], qubits: Sequence[int], where: str) -> Operation:
    if name in _TURNS:
        return Turn(qubits[0], *_TURNS[name])
    if name in _AXES:
        return Turn(qubits[0], half_turns(degrees(float(params[0]))), _AXES[name])
    if name == "rz":
        return Frame(qubits[0], half_turns(degrees(float(params[0]))))
    if name == "cz":
        return ControlledPhase(qubits[0], qubits[1])
    if name == "reset":
        return Relax(qubits[0])
    raise InputError(
        f"The rack has no operation {name!r}",
        where=where,
        remedy="Loops must be unrolled, and branches be of the form if (bit) { gates }.",
    )


def half_turns(angle: float) -> float:
    """The same turn, up to a global phase, in (-180, 180]: the pulse with the least amplitude."""
    return 180.0 - (180.0 - angle) % 360.0
