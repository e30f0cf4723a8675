"""From a program as given to a circuit that can be checked and compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qpuflow.domain.digest import digest
from qpuflow.domain.executable import Register
from qpuflow.domain.openqasm import load_openqasm2, load_openqasm3
from qpuflow.domain.qpy_loading import load_qpy
from qpuflow.domain.request import Program, ProgramFormat
from qpuflow.domain.source import ProgramError, Source, detect_format, read_source

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Instruction

__all__ = ["ParsedProgram", "ProgramError", "parse", "registers_in"]

MAX_OPERATIONS = 1_000_000
"""Operations of one program when its for loops are written out, which QPUs do."""


@dataclass(frozen=True, slots=True)
class ParsedProgram:
    """A program whose text was understood.

    `registers` are in order of declaration and cover every classical bit once; `parameters` are
    sorted; `fingerprint` hashes format and text, so it is the same whatever the values.
    """

    name: str
    format: ProgramFormat
    circuit: QuantumCircuit = field(repr=False, compare=False)
    registers: tuple[Register, ...]
    parameters: tuple[str, ...]
    depth: int
    fingerprint: str


def parse(program: Program, *, vetted: bool = False) -> ParsedProgram:
    """Read the program, or raise `ProgramError` with the place and a remedy.

    Costs milliseconds for OpenQASM 2, about 18 s a million characters for OpenQASM 3, and about
    1 s for a QPY file seen for the first time. `vetted` skips that trial for a program that
    was parsed before it was stored.
    """
    source = read_source(program.name, program.source)
    kind = detect_format(source, program.format)
    circuit, names = _load(source, kind, vetted)
    circuit.name = program.name
    _check_not_empty(program.name, circuit)
    _check_length(program.name, circuit)
    return ParsedProgram(
        name=program.name,
        format=kind,
        circuit=circuit,
        registers=registers_in(circuit, names),
        parameters=tuple(sorted(parameter.name for parameter in circuit.parameters)),
        depth=circuit.depth(),
        fingerprint=digest({"format": kind, "source": program.source}),
    )


def _load(
    source: Source, kind: ProgramFormat, vetted: bool
) -> tuple[QuantumCircuit, dict[int, str]]:
    if kind is ProgramFormat.QPY:
        return load_qpy(source, vetted=vetted), {}
    source.check_bounds()
    if kind is ProgramFormat.OPENQASM2:
        return load_openqasm2(source), {}
    return load_openqasm3(source)


def _check_not_empty(name: str, circuit: QuantumCircuit) -> None:
    missing = "qubits" if not circuit.num_qubits else "operations" if not circuit.data else None
    if missing:
        raise ProgramError(
            f"The program has no {missing}",
            where=name,
            remedy="Declare qubits and apply at least one gate or measurement.",
        )


def _check_length(name: str, circuit: QuantumCircuit) -> None:
    if (length := _length(circuit)) > MAX_OPERATIONS:
        raise ProgramError(
            f"With its loops written out the program has {length:,} operations, more than the "
            f"{MAX_OPERATIONS:,} accepted",
            where=name,
            remedy="Use fewer repetitions, or more shots of a shorter program.",
        )


def _length(circuit: QuantumCircuit) -> int:
    if not circuit.has_control_flow_op():
        return len(circuit.data)
    return sum(_length_of(instruction.operation) for instruction in circuit.data)


def _length_of(operation: Instruction) -> int:
    """A while loop counts once: how often it runs is known at run time only."""
    blocks: Sequence[QuantumCircuit] = getattr(operation, "blocks", ())
    times = _iterations(operation.params[0]) if operation.name == "for_loop" else 1
    return times * sum(map(_length, blocks)) if blocks else 1


def _iterations(values: range | Sequence[int]) -> int:
    if isinstance(values, range):  # len() overflows
        return max(0, -(-(values.stop - values.start) // values.step))
    return len(values)


def registers_in(
    circuit: QuantumCircuit, names: Mapping[int, str] | None = None
) -> tuple[Register, ...]:
    """Classical registers and loose bits in the order of the circuit's bits."""
    found: list[Register] = []
    for index, bit in enumerate(circuit.clbits):
        homes = circuit.find_bit(bit).registers
        if len(homes) > 1:
            raise ProgramError(
                f"Classical bit {index} is in the registers {homes[0][0].name} and "
                f"{homes[1][0].name}",
                where=circuit.name,
                remedy="Counts need every bit once: use whole registers, without let or slices.",
            )
        if not homes:
            found.append(Register((names or {}).get(index, f"clbit{index}"), 1))
        elif homes[0][1] == 0:
            found.append(Register(homes[0][0].name, homes[0][0].size))
    return tuple(found)
