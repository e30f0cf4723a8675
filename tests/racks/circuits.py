"""Programs compiled for the dummy rack."""

from __future__ import annotations

import io
from typing import Any

from qiskit import QuantumCircuit, qpy

from qpuflow.domain.compiling import compile_circuit, registers_of_circuit
from qpuflow.domain.delays import in_nanoseconds
from qpuflow.domain.device import Device
from qpuflow.domain.executable import Executable


def compiled(circuit: QuantumCircuit, device: Device, **options: Any) -> Executable:
    return compile_circuit(circuit, device, 1, seed=1).executable("test", **options)


def as_it_is(circuit: QuantumCircuit) -> Executable:
    """In native gates already; nothing is optimised away."""
    file = io.BytesIO()
    qpy.dump(in_nanoseconds(circuit), file)
    return Executable("test", file.getvalue(), registers_of_circuit(circuit))


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def ones(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits, qubits)
    circuit.x(range(qubits))
    circuit.measure(range(qubits), range(qubits))
    return circuit
