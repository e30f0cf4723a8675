"""Delays in whole nanoseconds: QPY, in which compiled circuits travel, loses their units.

Qiskit 2.6 writes ``delay[30ns]`` and reads 30 dt; other units than ns it cannot even read back.
So in every `Executable` a ``dt`` is one nanosecond, whatever the program's text said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qpuflow.domain.errors import InputError

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

_NANOSECONDS = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0, "ps": 1e-3, "dt": 1.0}


def in_nanoseconds(circuit: QuantumCircuit) -> QuantumCircuit:
    """The same circuit, or a copy if it has delays. Fractions are rounded up."""
    if not _has_delays(circuit):
        return circuit
    copy = circuit.copy_empty_like()
    for step in circuit.data:
        operation: Any = step.operation
        if operation.name == "delay":
            copy.append(step.replace(operation=_delay(operation, circuit.name)))
        elif blocks := getattr(operation, "blocks", ()):
            inner = [in_nanoseconds(block) for block in blocks]
            copy.append(step.replace(operation=operation.replace_blocks(inner)))
        else:
            copy.append(step)
    return copy


def _has_delays(circuit: QuantumCircuit) -> bool:
    return any(
        step.operation.name == "delay"
        or any(_has_delays(block) for block in getattr(step.operation, "blocks", ()))
        for step in circuit.data
    )


def _delay(delay: Any, where: str) -> Any:
    from qiskit.circuit import Delay

    try:
        picoseconds = round(float(delay.duration) * _NANOSECONDS[delay.unit] * 1000)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"A delay of {delay.duration} {delay.unit}",
            where=where,
            remedy="Give a number and a unit: s, ms, us, ns or ps.",
        ) from error
    return Delay(-(-picoseconds // 1000), "dt")
