"""Whatever a user has at hand, as programs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qpuflow.domain.files import SUFFIXES, load_program
from qpuflow.domain.request import Program, ProgramFormat

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    OneProgram = Program | QuantumCircuit | Path | str


def as_programs(given: OneProgram | Sequence[OneProgram]) -> list[Program]:
    """One program or several: a `Program`, a circuit, a file's path, or OpenQASM text.

    Text that ends as program files do is a path: no program's text does.
    """
    several = [given] if isinstance(given, str) or not isinstance(given, Sequence) else given
    return [_as_program(one, index) for index, one in enumerate(several)]


def _as_program(given: OneProgram, index: int) -> Program:
    if isinstance(given, Program):
        return given
    if isinstance(given, Path) or (isinstance(given, str) and given.endswith(SUFFIXES)):
        return load_program(given)
    if isinstance(given, str):
        return Program(name=f"program-{index}", source=given)
    return of_circuit(given)


def of_circuit(circuit: QuantumCircuit) -> Program:
    """A Qiskit circuit as OpenQASM 3, or as QPY where OpenQASM cannot express it."""
    from qiskit import qasm3, qpy

    name = circuit.name or "circuit"
    try:
        return Program(name=name, source=qasm3.dumps(circuit), format=ProgramFormat.OPENQASM3)
    except qasm3.QASM3ExporterError:
        buffer = io.BytesIO()
        qpy.dump(circuit, buffer)
        text = base64.b64encode(buffer.getvalue()).decode()
        return Program(name=name, source=text, format=ProgramFormat.QPY)
