"""Programs that several tests read."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from qpuflow.domain.device import Device, Gate, Limits

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

QASM2 = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'
QASM3 = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
BELL2 = QASM2 + "qreg q[2];\ncreg c[2];\nh q[0];\ncx q[0], q[1];\nmeasure q -> c;\n"
BELL3 = QASM3 + "qubit[2] q;\nbit[2] c;\nh q[0];\ncx q[0], q[1];\nc = measure q;\n"
ROTATION = QASM3 + "input float theta;\nqubit q;\nry(theta) q;\n"

DEVICE = Device(
    name="five",
    num_qubits=5,
    gates=(Gate(name="h"), Gate(name="cx")),
    limits=Limits(max_qubits=5, max_shots=10_000, max_programs=3),
)


def bell_circuit() -> QuantumCircuit:
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def qpy_bytes(*circuits: QuantumCircuit, version: int | None = None) -> bytes:
    from qiskit import qpy

    buffer = io.BytesIO()
    qpy.dump(list(circuits), buffer, version=version or qpy.QPY_VERSION)
    return buffer.getvalue()


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
