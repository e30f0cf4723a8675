"""Branches of a circuit, and which of them a device can take while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from qpuflow.domain.errors import InputError

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

BRANCHES = frozenset({"if_else", "switch_case", "while_loop"})


class Branching(StrEnum):
    """What may depend on measured bits within one shot."""

    ANY = "any"
    """Whatever the device's gates have."""
    ONE_BIT = "one_bit"
    """``if`` with one bit, about gates on single qubits."""


def deciding_bit(condition: Any) -> tuple[Any, int] | None:
    """The one bit that a condition is about, and its value where it holds; None if there are more.

    `condition` is what Qiskit's ``if_else`` has.
    """
    from qiskit.circuit import Clbit
    from qiskit.circuit.classical import expr

    match condition:
        case (Clbit() as bit, value):
            return bit, int(value)
        case (register, value) if len(register) == 1:
            return register[0], int(value)
        case expr.Var(var=Clbit() as bit):
            return bit, 1
        case expr.Unary(
            op=expr.Unary.Op.LOGIC_NOT | expr.Unary.Op.BIT_NOT,
            operand=expr.Var(var=Clbit() as bit),
        ):
            return bit, 0
        case _:
            return None


def check_branches(
    circuit: QuantumCircuit, gates: frozenset[str], branching: Branching, where: str
) -> None:
    """`InputError` for a branch that cannot be taken. `gates`: the names of the device's."""
    for operation in _branches(circuit):
        if operation.name not in gates:
            remedy = "Measure, and decide in a next job." + (
                " Branches are of the form if (bit) { gates }." if "if_else" in gates else ""
            )
            raise InputError(f"The QPU has no {operation.name}", where=where, remedy=remedy)
        if branching is Branching.ONE_BIT:
            _check_one_bit(operation, where)


def _check_one_bit(operation: Any, where: str) -> None:
    remedy = "One measured bit can decide about gates on single qubits."
    if deciding_bit(operation.condition) is None:
        raise InputError("A condition on several bits", where=where, remedy=remedy)
    for block in operation.blocks:
        for inner in block.data:
            name = inner.operation.name
            is_gate = inner.operation.num_qubits == 1 and not inner.operation.num_clbits
            if name != "barrier" and (not is_gate or name in {"reset", "delay"}):
                raise InputError(f"{name!r} under a condition", where=where, remedy=remedy)


def _branches(circuit: QuantumCircuit) -> Iterator[Any]:
    if not circuit.has_control_flow_op():
        return
    for instruction in circuit.data:
        operation: Any = instruction.operation
        if operation.name in BRANCHES:
            yield operation
        for block in getattr(operation, "blocks", ()):
            yield from _branches(block)
