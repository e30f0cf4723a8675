"""The exact outcome of every acquisition, by simulating what was uploaded, not what was asked."""

from __future__ import annotations

from math import radians
from typing import TYPE_CHECKING

from qpuflow.drivers.qblox.programs import (
    Acquire,
    Conditional,
    ControlledPhase,
    Frame,
    NativeProgram,
    Operation,
    Relax,
    Turn,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

States = dict[int, "NDArray[np.bool_]"]
"""By qubit: whether it was excited, with the shape (shot, acquisition)."""


def simulate(program: NativeProgram, shots: int, seed: int) -> States:
    import numpy as np
    from qiskit_aer import AerSimulator

    acquisitions = program.acquisitions
    if not acquisitions:
        return {}
    circuit = circuit_of(program)
    simulator = AerSimulator(method="statevector", max_parallel_threads=1)
    result = simulator.run(circuit, shots=shots, memory=True, seed_simulator=seed).result()
    memory = [int(shot, 16) for shot in result.data(0)["memory"]]
    width = (len(acquisitions) + 7) // 8
    packed = b"".join(number.to_bytes(width, "little") for number in memory)
    rows = np.frombuffer(packed, dtype=np.uint8).reshape(shots, width)
    bits = np.unpackbits(rows, axis=1, count=len(acquisitions), bitorder="little").astype(bool)
    return {
        qubit: bits[:, [i for i, one in enumerate(acquisitions) if one.qubit == qubit]]
        for qubit in program.acquisitions_of
    }


def circuit_of(program: NativeProgram) -> QuantumCircuit:
    """Classical bit i is acquisition i of the program, in order of time."""
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(max(program.qubits, default=0) + 1, len(program.acquisitions))
    latest: dict[int, int] = {}
    taken = 0
    for timed in program.operations:
        match timed.operation:
            case Acquire(qubit=qubit):
                circuit.measure(qubit, taken)
                latest[qubit] = taken
                taken += 1
            case Conditional(source=source, body=body):
                with circuit.if_test((circuit.clbits[latest[source]], 1)):
                    for inner in body:
                        _apply(circuit, inner.operation)
            case operation:
                _apply(circuit, operation)
    return circuit


def _apply(circuit: QuantumCircuit, operation: Operation) -> None:
    match operation:
        case Turn(qubit=qubit, theta=theta, phi=phi):
            circuit.r(radians(theta), radians(phi), qubit)
        case Frame(qubit=qubit, degrees=degrees):
            circuit.rz(radians(degrees), qubit)
        case ControlledPhase(first=first, second=second):
            circuit.cz(first, second)
        case Relax(qubit=qubit):
            circuit.reset(qubit)
        case Acquire() | Conditional():
            raise AssertionError("no part of a branch")
