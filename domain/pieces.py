"""The circuits that one program is compiled to, and what each tells about its observables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from qpuflow.domain.compilers import Choice, Compiler
from qpuflow.domain.compiling import Compiled, compile_circuit, registers_of_circuit
from qpuflow.domain.device import Device
from qpuflow.domain.executable import Register
from qpuflow.domain.figures import NOTHING, Figures
from qpuflow.domain.request import JobOptions, Program

if TYPE_CHECKING:
    import xarray as xr
    from qiskit import QuantumCircuit


@dataclass(frozen=True, slots=True)
class Piece:
    """One compiled circuit of a program.

    `terms` are the I/Z strings to read from its counts, by observable; `constants`, on a
    program's first piece only, the observables' identity parts. See `MeasurementPlan`.
    """

    compiled: Compiled
    terms: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    constants: dict[str, float] | None = None
    choice: Choice | None = None
    """On a program's first piece only: which compiler made it, and why that one."""

    def about(self) -> dict[str, Any]:
        """All but the circuit itself, as JSON."""
        compiled = self.compiled
        return {
            "registers": [[register.name, register.size] for register in compiled.registers],
            "parameters": list(compiled.parameters),
            "layout": list(compiled.layout),
            "depth": compiled.depth,
            "operations": compiled.operations,
            "terms": self.terms,
            "constants": self.constants,
            "two_qubit_gates": compiled.two_qubit_gates,
            "log_fidelity": compiled.log_fidelity,
            "choice": self.choice and self.choice.about(),
        }


def piece_of(qpy: bytes, about: Mapping[str, Any]) -> Piece:
    """The reverse of `Piece.about`."""
    compiled = Compiled(
        qpy=qpy,
        registers=tuple(Register(name, size) for name, size in about["registers"]),
        parameters=tuple(about["parameters"]),
        layout=tuple(about["layout"]),
        depth=about["depth"],
        operations=about["operations"],
        two_qubit_gates=about.get("two_qubit_gates", 0),
        log_fidelity=about.get("log_fidelity"),
    )
    choice = about.get("choice")
    return Piece(compiled, about["terms"], about["constants"], choice and Choice(**choice))


def figures_of_pieces(pieces: Sequence[Piece]) -> Figures:
    """Of a program with all its circuits."""
    return sum((piece.compiled.figures for piece in pieces), NOTHING)


def compile_program(program: Program, device: Device, options: JobOptions) -> list[Piece]:
    """By Qiskit. Takes milliseconds to minutes: runs in a process of its own."""
    level = 0 if options.compiler is Compiler.VENDOR else options.optimization_level
    return compile_pieces(
        program, lambda circuit: compile_circuit(circuit, device, level, options.seed)
    )


def compile_pieces(
    program: Program, compile_one: Callable[[QuantumCircuit], Compiled]
) -> list[Piece]:
    """Parse an accepted program, add the measurements its observables need, and compile."""
    from qpuflow.domain.observables import plan
    from qpuflow.domain.parsing import parse

    parsed = parse(program, vetted=True)
    planned = plan(parsed.circuit, program.observables)
    constants = None if planned.constants is None else dict(planned.constants)
    return [
        Piece(
            _named(compile_one(circuit), parsed.registers),
            terms,
            constants if index == 0 else None,
        )
        for index, (circuit, terms) in enumerate(zip(planned.circuits, planned.terms, strict=True))
    ]


def outline(program: Program) -> list[Piece]:
    """What it takes to read the program's results, whatever device they are of: no circuit."""
    return compile_pieces(program, _unwritten)


def _unwritten(circuit: QuantumCircuit) -> Compiled:
    names = tuple(parameter.name for parameter in circuit.parameters)
    return Compiled(b"", registers_of_circuit(circuit), names, (), 0, {})


def _named(compiled: Compiled, registers: Sequence[Register]) -> Compiled:
    """The registers by the names that the program's text gives them; added ones keep theirs."""
    added = compiled.registers[len(registers) :]
    return replace(compiled, registers=(*registers, *added))


def combine(pieces: Sequence[Piece], datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """One dataset for the program from those of its pieces."""
    from qpuflow.domain.observables import MeasurementPlan, evaluate

    terms = tuple(piece.terms for piece in pieces)
    return evaluate(MeasurementPlan((), terms, pieces[0].constants), datasets)
