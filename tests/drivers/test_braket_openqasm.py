"""Circuits mean the same in Braket's dialect: its own interpreter is asked."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from braket.default_simulator import StateVectorSimulator
from braket.ir.openqasm import Program
from qiskit import QuantumCircuit
from qiskit.circuit import Instruction
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import Statevector

from qpuflow.domain.errors import InputError
from qpuflow.drivers.braket.openqasm import BRAKET_NAMES, write


def amplitudes(circuit: QuantumCircuit) -> Any:
    """By Braket's simulator, in Qiskit's order of qubits."""
    source = write(circuit).source
    lines = [line for line in source.splitlines() if "measure" not in line and "bit[" not in line]
    register = f"qubit[{circuit.num_qubits}] q;"
    program = "\n".join([lines[0], register, *lines[1:], "#pragma braket result state_vector"])
    result: Any = StateVectorSimulator().run(Program(source=program, inputs={}), shots=0)
    vector = np.array(result.resultTypes[0].value)
    return vector.reshape([2] * circuit.num_qubits).transpose().reshape(-1)


def drawn(name: str, chance: Random) -> Instruction:
    """The gate, with angles by chance."""
    gate = get_standard_gate_name_mapping()[name]
    kind: Any = gate.base_class
    return kind(*(chance.uniform(-7, 7) for _ in gate.params))


def scrambled(circuit: QuantumCircuit, chance: Random) -> None:
    for qubit in range(circuit.num_qubits):
        circuit.rx(chance.uniform(0.3, 2.8), qubit)
        circuit.rz(chance.uniform(0.3, 2.8), qubit)


@pytest.mark.parametrize("name", BRAKET_NAMES)
def test_a_gate_does_what_it_does_in_qiskit(name: str) -> None:
    chance = Random(name)
    gate = drawn(name, chance)
    circuit = QuantumCircuit(max(2, gate.num_qubits))
    scrambled(circuit, chance)
    circuit.append(gate, range(gate.num_qubits))
    scrambled(circuit, chance)
    overlap = np.vdot(amplitudes(circuit), Statevector(circuit).data)
    assert abs(overlap) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_random_circuits_give_the_same_state(seed: int) -> None:
    chance = Random(seed)
    circuit = QuantumCircuit(chance.randint(3, 8))
    scrambled(circuit, chance)
    for _ in range(60):
        gate = drawn(chance.choice(list(BRAKET_NAMES)), chance)
        circuit.append(gate, chance.sample(range(circuit.num_qubits), gate.num_qubits))
    overlap = np.vdot(amplitudes(circuit), Statevector(circuit).data)
    assert abs(overlap) == pytest.approx(1, abs=1e-9)


def test_qubits_that_nothing_acts_on_cost_nothing() -> None:
    circuit = QuantumCircuit(30, 1)
    circuit.x(17)
    circuit.barrier()
    circuit.measure(17, 0)
    written = write(circuit)
    assert written.qubits == 1
    assert written.clbits == ((0,),)


def test_a_qubit_used_after_its_measurement_makes_a_program_crooked() -> None:
    circuit = QuantumCircuit(1, 2)
    circuit.measure(0, 0)
    circuit.measure(0, 1)
    assert write(circuit).straight
    assert write(circuit).clbits == ((0, 1),)
    circuit.x(0)
    assert not write(circuit).straight


def test_what_braket_cannot_be_told_is_named() -> None:
    circuit = QuantumCircuit(1, 1)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    with pytest.raises(InputError, match="if_else"):
        write(circuit)
