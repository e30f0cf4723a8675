"""How good a compiled circuit will be, from its gates and the device's errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log, log1p
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.transpiler import Target


@dataclass(frozen=True, slots=True)
class Figures:
    """By which compiled circuits are compared; of a program with several, they are summed.

    `log_fidelity` is the logarithm of the product of 1 - error of all operations; None where the
    device does not tell the errors of some.
    """

    two_qubit_gates: int
    depth: int
    log_fidelity: float | None = None

    @property
    def fidelity(self) -> float | None:
        return None if self.log_fidelity is None else exp(self.log_fidelity)

    def __add__(self, other: Figures) -> Figures:
        logs = (self.log_fidelity, other.log_fidelity)
        known = [one for one in logs if one is not None]
        return Figures(
            self.two_qubit_gates + other.two_qubit_gates,
            self.depth + other.depth,
            sum(known) if len(known) == len(logs) else None,
        )


NOTHING = Figures(0, 0, 0.0)

_FREE = frozenset({"barrier", "delay", "store", "global_phase"})
_LEAST = 1e-12
"""The fidelity of what certainly fails: the sum stays finite."""


def figures_of(circuit: QuantumCircuit, target: Target) -> Figures:
    """Branches count as if all were taken, loops as if once."""
    two_qubit = 0
    logs: list[float | None] = []
    for name, qubits in _operations(circuit, range(circuit.num_qubits)):
        two_qubit += len(qubits) > 1
        logs.append(_log_fidelity(target, name, qubits))
    known = [one for one in logs if one is not None]
    told = sum(known) if len(known) == len(logs) and any(known) else None
    return Figures(two_qubit, circuit.depth(), told)


def _operations(
    circuit: QuantumCircuit, places: range | tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    index = {qubit: places[i] for i, qubit in enumerate(circuit.qubits)}
    for step in circuit.data:
        operation: Any = step.operation
        qubits = tuple(index[qubit] for qubit in step.qubits)
        blocks = getattr(operation, "blocks", ())
        for block in blocks:
            yield from _operations(block, qubits)
        if not blocks and operation.name not in _FREE:
            yield operation.name, qubits


def _log_fidelity(target: Target, name: str, qubits: tuple[int, ...]) -> float | None:
    """None where the device says nothing of it."""
    sites: Any = target[name] if name in target.operation_names else {}
    error = getattr(sites.get(qubits), "error", None) if sites else None
    if error is None:
        return None
    return log1p(-error) if error < 1 - _LEAST else log(_LEAST)
