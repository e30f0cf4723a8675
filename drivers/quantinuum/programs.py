"""Circuits as Quantinuum takes them: compiled by pytket, as OpenQASM 2 of its own library.

Runs in processes of their own: importing pytket's extensions takes seconds, and patches asyncio.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from qpuflow.domain.errors import InputError
from qpuflow.domain.executable import Executable
from qpuflow.drivers.quantinuum.credits import Operations
from qpuflow.drivers.quantinuum.registers import Piece, pieces_of

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

PRELOAD = (
    "qiskit.qpy",
    "pytket.extensions.qiskit",
    "pytket.extensions.quantinuum.backends.quantinuum",
    "pytket.qasm.qasm",
    "pytket.qir.conversion.api",
)
"""The first extension brings Aer, too; so all QPUs of a process share one server of processes."""


@dataclass(frozen=True, slots=True)
class Written:
    """One circuit with its values."""

    source: str
    operations: Operations
    max_cost: str | None = None
    """The most that the whole job may cost, as its user gave it."""


def written(executables: Sequence[Executable], level: int) -> list[Written]:
    """In the order of executables and their points. Raises `InputError`.

    `level` is that of pytket's passes for the machine where an executable has none of its own.
    """
    return [
        replace(
            _written(circuit, level if one.vendor_level is None else one.vendor_level),
            max_cost=one.max_cost,
        )
        for one in executables
        for circuit in circuits_of(one)
    ]


def circuits_of(executable: Executable) -> list[QuantumCircuit]:
    """One for each point, with the registers of `pieces_of`."""
    from qiskit import qpy

    circuit = qpy.load(io.BytesIO(executable.qpy))[0]
    circuit = _with_pieces(circuit, pieces_of(executable.registers))
    circuit.name = executable.name
    names = {parameter.name for parameter in circuit.parameters}
    # A parameter that cannot matter may have been compiled away; its points remain.
    return [
        circuit.assign_parameters({k: v for k, v in point.items() if k in names})
        for point in executable.points
    ]


def _with_pieces(circuit: QuantumCircuit, pieces: Sequence[Piece]) -> QuantumCircuit:
    """The same circuit. One bit at least is measured."""
    from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

    # Bits of their own: pytket knows a bit in a condition by the register it was made in.
    plain = QuantumCircuit(
        QuantumRegister(circuit.num_qubits, "q"),
        *(ClassicalRegister(piece.size, piece.name) for piece in pieces),
    )
    plain.compose(circuit, plain.qubits, plain.clbits, inplace=True)
    if not circuit.clbits:
        plain.add_register(ClassicalRegister(1, "nothing"))
        plain.measure(0, 0)
    return plain


def _written(circuit: QuantumCircuit, level: int) -> Written:
    from pytket.extensions.qiskit.qiskit_convert import qiskit_to_tk
    from pytket.qasm.qasm import circuit_to_qasm_str

    try:
        compiled = qiskit_to_tk(circuit)
        _compilation(level).apply(compiled)
        source = circuit_to_qasm_str(compiled, header="hqslib1", maxwidth=64)
    except Exception as error:  # pytket raises what it likes, and all of it is about the circuit
        raise InputError(
            f"pytket cannot write it for Quantinuum: {error}",
            where=circuit.name,
            remedy="Use gates, measurements, resets and conditions on bits or short registers.",
        ) from error
    return Written(source, _operations(compiled))


@cache
def _compilation(level: int) -> Any:
    """The vendor's own default passes; they are the same for all machines of a kind."""
    from pytket.extensions.quantinuum.backends.data import H2
    from pytket.extensions.quantinuum.backends.quantinuum import QuantinuumBackend

    return QuantinuumBackend("H2-1", data=H2).default_compilation_pass(level)


def _operations(compiled: Any) -> Operations:
    from pytket.circuit import OpType

    one = two = measured = 0
    for command in compiled.get_commands():
        operation: Any = command.op
        while operation.type == OpType.Conditional:
            operation = operation.op
        kind = operation.type
        measured += kind in (OpType.Measure, OpType.Reset)
        one += kind == OpType.PhasedX
        two += kind in (OpType.ZZPhase, OpType.ZZMax, OpType.TK2)
    return Operations(one, two, measured)
