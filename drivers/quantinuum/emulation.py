"""Programs in Quantinuum's languages on Aer, without noise, as its own local emulator runs them."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qpuflow.domain.errors import InputError
from qpuflow.drivers.quantinuum.credits import Operations
from qpuflow.drivers.quantinuum.qir import Translated, circuit_of

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

OPENQASM = "OPENQASM 2.0"
QIR = "QIR 1.0"

Results = Mapping[str, list[str]]
"""For each classical register the bits of each shot; the highest bit is leftmost."""


def translated(language: str, program: str) -> Translated:
    """Raises `InputError` for what is no program of that language."""
    if language == OPENQASM:
        return circuit_of(_as_qir(program))
    if language != QIR:
        raise InputError(f"Language {language!r} is not known")
    try:
        return circuit_of(base64.b64decode(program, validate=True))
    except binascii.Error as error:
        raise InputError(f"The program is no base64: {error}") from error


def run(program: Translated, shots: int, seed: int | None = None) -> Results:
    from qiskit_aer import AerSimulator

    circuit = _shown(program.circuit)
    simulator: Any = AerSimulator(seed_simulator=seed)
    memory = simulator.run(circuit, shots=shots, memory=True).result().get_memory()
    registers = [list(reversed(shot.split(" "))) for shot in memory]
    return {name: [shot[index] for shot in registers] for index, name in program.outputs.items()}


def _shown(circuit: QuantumCircuit) -> QuantumCircuit:
    """Aer tells no bits of a circuit without a measurement at its top."""
    from qiskit import ClassicalRegister

    shown = circuit.copy()
    shown.add_register(ClassicalRegister(1, "shown"))
    shown.measure(0, shown.clbits[-1])
    return shown


def operations_of(circuit: QuantumCircuit) -> Operations:
    """What is charged for. Branches are counted as if all were taken."""
    counted = _counted(circuit)
    return Operations(*(counted[kind] for kind in ("one", "two", "measured")))


def _counted(circuit: QuantumCircuit) -> Counter[str]:
    counted: Counter[str] = Counter()
    for instruction in circuit.data:
        operation: Any = instruction.operation
        for block in getattr(operation, "blocks", ()):
            counted += _counted(block)
        if operation.name in ("measure", "reset"):
            counted["measured"] += 1
        elif operation.name not in ("rz", "barrier", "store", "if_else"):
            counted["one" if len(instruction.qubits) == 1 else "two"] += 1
    return counted


def _as_qir(source: str) -> bytes:
    from pytket.qasm.qasm import QASMParseError, circuit_from_qasm_str
    from pytket.qir.conversion.api import QIRFormat, QIRProfile, pytket_to_qir

    try:
        circuit = circuit_from_qasm_str(source, maxwidth=64)
    except (QASMParseError, ValueError, RuntimeError) as error:
        raise InputError(f"The program cannot be read: {error}") from error
    qir: Any = pytket_to_qir(circuit, "program", QIRFormat.BINARY, profile=QIRProfile.PYTKET)
    return qir
