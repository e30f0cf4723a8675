"""Quantinuum's unit of price: the H-System quantum credit, HQC."""

from __future__ import annotations

from dataclasses import dataclass

JOB_CREDITS = 5.0

UNIT = "HQC"


@dataclass(frozen=True, slots=True)
class Operations:
    """Of one shot: gates on one and on two qubits, and preparations and measurements."""

    one_qubit: int
    two_qubit: int
    measurements: int


def cost(operations: Operations, shots: int) -> float:
    """``5 + C (N1q + 10 N2q + 5 Nm) / 5000`` for C shots.

    https://docs.quantinuum.com/systems/user_guide/hardware_user_guide/access.html
    """
    weight = operations.one_qubit + 10 * operations.two_qubit + 5 * operations.measurements
    return JOB_CREDITS + shots * weight / 5000
