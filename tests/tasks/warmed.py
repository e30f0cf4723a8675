"""Imported by the process that carriers are forked from: none of them pays for a first time."""

from __future__ import annotations

from qiskit import QuantumCircuit, transpile

circuit = QuantumCircuit(2)
circuit.cx(0, 1)
circuit.measure_all()
transpile(circuit, basis_gates=["rz", "sx", "cx"], optimization_level=1)
