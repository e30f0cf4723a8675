"""The exact outcome of every acquisition, by simulating what was uploaded, not what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import radians
from typing import TYPE_CHECKING, Any

from qpuflow.drivers.qblox.dummy.chip import Relaxation
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
from qpuflow.drivers.qblox.programs.native import qubits_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

States = dict[int, "NDArray[np.bool_]"]
"""By qubit: whether it was excited, with the shape (shot, acquisition)."""


def simulate(
    program: NativeProgram, shots: int, seed: int, relaxation: Mapping[int, Relaxation]
) -> States:
    import numpy as np
    from qiskit_aer import AerSimulator

    acquisitions = program.acquisitions
    if not acquisitions:
        return {}
    circuit = circuit_of(program, relaxation)
    method = "density_matrix" if relaxation else "statevector"
    simulator = AerSimulator(method=method, max_parallel_threads=1)
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


def circuit_of(program: NativeProgram, relaxation: Mapping[int, Relaxation]) -> QuantumCircuit:
    """Classical bit i is acquisition i of the program, in order of time."""
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(max(program.qubits, default=0) + 1, len(program.acquisitions))
    latest: dict[int, int] = {}
    taken = 0
    clock = dict.fromkeys(relaxation, 0)
    if program.resets:
        # As the shot before has left them: anywhere. What looks at them first sees 0 or 1.
        circuit.h(sorted(program.qubits))
    for timed in program.operations:
        for qubit in qubits_of(timed.operation):
            if (passed := timed.start_ns - clock.get(qubit, timed.start_ns)) > 0:
                times = relaxation[qubit]
                forgotten = _forgotten(times.t1_seconds, times.t2_seconds, passed)
                circuit.append(forgotten, [qubit])
                clock[qubit] = timed.start_ns
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


@lru_cache(maxsize=1024)
def _forgotten(t1_seconds: float, t2_seconds: float, passed_ns: int) -> Any:
    """What becomes of a qubit in so long."""
    from qiskit.quantum_info import SuperOp
    from qiskit_aer.noise import thermal_relaxation_error

    error = thermal_relaxation_error(t1_seconds, t2_seconds, passed_ns * 1e-9)
    return SuperOp(error).to_instruction()


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
