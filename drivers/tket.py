"""Compilation by pytket, for any device: optimised, placed, routed and rebased by its passes.

Runs in processes of their own: pytket's extension for Qiskit brings 4 s of imports, of IBM's SDK
too. Only for circuits without parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from qpuflow.domain.compilers import Compiler
from qpuflow.domain.compiling import (
    Compiled,
    compiled_as,
    registers_of_circuit,
    translated,
)
from qpuflow.domain.device import Device
from qpuflow.domain.errors import InputError
from qpuflow.domain.limits import check_limits
from qpuflow.domain.pieces import Piece, compile_pieces
from qpuflow.domain.request import JobOptions, Program

if TYPE_CHECKING:
    from pytket.passes import BasePass
    from qiskit import QuantumCircuit

PRELOAD = (
    *("qiskit.qasm2", "qiskit.qasm3", "qiskit.qpy", "qiskit.transpiler"),
    *("pytket.extensions.qiskit.qiskit_convert", "pytket.passes", "pytket.architecture"),
)

TWO_QUBIT: Mapping[str, str] = {
    "cx": "CX",
    "cz": "CZ",
    "ecr": "ECR",
    "rzz": "ZZPhase",
    "rxx": "XXPhase",
}
"""Qiskit's names and pytket's, the preferred first."""

ONE_QUBIT: Sequence[Mapping[str, str]] = (
    {"rz": "Rz", "sx": "SX", "x": "X"},
    {"rz": "Rz", "sx": "SX"},
    {"rz": "Rz", "r": "PhasedX"},
    {"rz": "Rz", "rx": "Rx"},
    {"u": "U3"},
    {"rx": "Rx", "ry": "Ry"},
)
"""Sets that are enough for every gate on one qubit, the preferred first."""

PAULI_SECONDS = 20
"""Of the search for Pauli gadgets at level 3."""


def is_installed() -> bool:
    try:
        version("pytket-qiskit")
    except PackageNotFoundError:
        return False
    return True


def with_installed(device: Device) -> Device:
    """As a driver describes it, and with the compilers that are installed here besides."""
    more = (Compiler.PYTKET, Compiler.BEST) if is_installed() and _gates(device) else ()
    known = dict.fromkeys((*device.compilers, *more))
    return device.model_copy(update={"compilers": tuple(known)})


@dataclass(frozen=True, slots=True)
class _Gates:
    """In pytket's words."""

    one: frozenset[str]
    two: str
    pairs: tuple[tuple[int, int], ...]
    """Empty where any two qubits will do."""


def _gates(device: Device) -> _Gates | None:
    """None where pytket does not know enough of the device's gates."""
    sites = {gate.name: gate.sites for gate in device.gates}
    one = next((found for found in ONE_QUBIT if found.keys() <= sites.keys()), None)
    # The one that exists in most places; of equals the preferred.
    two = max(
        (name for name in TWO_QUBIT if name in sites),
        key=lambda name: float("inf") if (there := sites[name]) is None else len(there),
        default=None,
    )
    if one is None or two is None:
        return None
    pairs = [(site.qubits[0], site.qubits[1]) for site in sites[two] or ()]
    return _Gates(frozenset(one.values()), TWO_QUBIT[two], tuple(pairs))


def compile_program(program: Program, device: Device, options: JobOptions) -> list[Piece]:
    """As `domain.pieces.compile_program`, by pytket."""
    return compile_pieces(
        program,
        lambda circuit: compile_circuit(circuit, device, options.optimization_level, options.seed),
    )


def compile_circuit(
    circuit: QuantumCircuit, device: Device, optimization_level: int, seed: int | None = None
) -> Compiled:
    """Raises `InputError` for what pytket cannot compile; its seeds are its own."""
    check_limits(device, programs=1, shots=1, qubits=circuit.num_qubits)
    gates = _gates(device)
    if gates is None:
        raise _impossible(circuit, f"it does not know the gates of {device.name}")
    if circuit.parameters:
        raise _impossible(circuit, "its angles are not all numbers")
    registers = registers_of_circuit(circuit)
    try:
        placed, places = _compiled(circuit, gates, optimization_level)
    except Exception as error:  # pytket raises what it likes, and all of it is about the circuit
        raise _impossible(circuit, str(error) or repr(error)) from error
    wide = _on_device(circuit, placed, device.num_qubits if gates.pairs else circuit.num_qubits)
    # Nothing is left but directions of gates, and gates that exist in few places.
    isa = translated(wide, device, 0, seed)
    return compiled_as(isa, device, registers, places if gates.pairs else ())


def _impossible(circuit: QuantumCircuit, why: str) -> InputError:
    return InputError(
        f"pytket cannot compile it: {why}", where=circuit.name, remedy="Choose qiskit, or best."
    )


def _compiled(
    circuit: QuantumCircuit, gates: _Gates, level: int
) -> tuple[QuantumCircuit, tuple[int, ...]]:
    """In the device's gates, with qubits by their places; and where each qubit begins."""
    from pytket.extensions.qiskit.qiskit_convert import qiskit_to_tk, tk_to_qiskit
    from pytket.predicates import CompilationUnit

    given = _plain(circuit)
    qubits: list[Any] = [*(told := qiskit_to_tk(given)).qubits]
    unit = CompilationUnit(told)
    _passes(gates, level, has_barriers="barrier" in given.count_ops()).apply(unit)
    begins: Any = unit.initial_map
    places = tuple(begins[qubit].index[0] for qubit in qubits)
    return tk_to_qiskit(unit.circuit, perm_warning=False), places


def _plain(circuit: QuantumCircuit) -> QuantumCircuit:
    """Registers of its own, named in order: pytket knows bits by the register they were made in."""
    from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

    plain = QuantumCircuit(
        QuantumRegister(circuit.num_qubits, "q"),
        *(
            ClassicalRegister(register.size, f"c{index}")
            for index, register in enumerate(registers_of_circuit(circuit))
        ),
    )
    plain.compose(circuit, plain.qubits, plain.clbits, inplace=True)
    return _of_known_gates(plain)


def _of_known_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    """Gates that a program defines itself are what they are made of."""
    from qiskit.circuit.library import get_standard_gate_name_mapping

    known = get_standard_gate_name_mapping()
    while own := {
        step.operation.name
        for step in circuit.data
        if step.operation.base_class
        is not getattr(known.get(step.operation.name), "base_class", None)
        and step.operation.definition is not None
    }:
        circuit = circuit.decompose(sorted(own))
    return circuit


def _on_device(circuit: QuantumCircuit, placed: QuantumCircuit, size: int) -> QuantumCircuit:
    """What was placed, on so many qubits, with the classical bits that the circuit had."""
    from qiskit import QuantumCircuit, QuantumRegister

    wide = QuantumCircuit(QuantumRegister(size, "q"), name=circuit.name)
    wide.add_bits(circuit.clbits)
    for register in circuit.cregs:
        wide.add_register(register)
    begins, offset = dict[str, int](), 0
    for index, register in enumerate(registers_of_circuit(circuit)):
        begins[f"c{index}"] = offset
        offset += register.size
    homes = [placed.find_bit(bit).registers[0] for bit in (*placed.qubits, *placed.clbits)]
    qubits = [index for _, index in homes[: placed.num_qubits]]
    clbits = [begins[home.name] + index for home, index in homes[placed.num_qubits :]]
    wide.compose(placed, qubits, clbits, inplace=True)
    return wide


def _passes(gates: _Gates, level: int, *, has_barriers: bool) -> BasePass:
    """Those of the same level of pytket's own backends, but barriers stay."""
    from pytket import passes
    from pytket.circuit import OpType

    one = {OpType.__members__[name] for name in gates.one}
    found: list[BasePass] = [passes.DecomposeBoxes(), *_optimising(level, has_barriers)]
    if gates.pairs:
        found += [*_mapping(gates), *_tidying(level)]
    return passes.SequencePass(
        [
            *found,
            passes.AutoRebase(one | {OpType.__members__[gates.two]}),
            *([passes.AutoSquash(one), passes.RemoveRedundancies()] if level else []),
        ]
    )


def _optimising(level: int, has_barriers: bool) -> list[BasePass]:
    from pytket import passes
    from pytket.circuit import OpType

    if level < 2:
        return [passes.SynthesiseTket()] if level else []
    if level == 2 or has_barriers:
        return [passes.FullPeepholeOptimise()]
    gadgets = passes.GreedyPauliSimp(thread_timeout=PAULI_SECONDS, only_reduce=True, trials=4)
    rebased = passes.AutoRebase({OpType.CX, OpType.Rz, OpType.Rx})
    return [passes.DecomposeBoxes(), rebased, gadgets, passes.FullPeepholeOptimise()]


def _mapping(gates: _Gates) -> list[BasePass]:
    """Routing moves qubits that have been measured, too: those measurements come after it."""
    from pytket.architecture import Architecture
    from pytket.passes import DefaultMappingPass, DelayMeasures

    routed = DefaultMappingPass(Architecture([*gates.pairs]), delay_measures=False)
    return [routed, DelayMeasures(allow_partial=True)]


def _tidying(level: int) -> list[BasePass]:
    """After routing: nothing that needs new couplings."""
    from pytket import passes

    if level < 2:
        return [passes.SynthesiseTket()] if level else []
    return [
        passes.KAKDecomposition(allow_swaps=False),
        passes.CliffordSimp(allow_swaps=False),
        passes.SynthesiseTket(),
    ]
