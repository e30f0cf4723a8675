"""Devices as the transpiler sees them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import ClassicalRegister, Clbit

from qpuflow.domain.compiling import compile_circuit, registers_of_circuit
from qpuflow.domain.device import Device, Gate, Limits
from qpuflow.domain.errors import InputError, OperatorNeeded
from qpuflow.domain.executable import Register
from qpuflow.domain.limits import check_limits
from qpuflow.domain.targets import target_of
from qpuflow.drivers.aer import AerSettings, Noise
from qpuflow.drivers.aer.devices import device_of, heavy_hex

ALL_TO_ALL = device_of("aer", AerSettings())
EAGLE = device_of("aer-heavyhex", AerSettings(layout="heavy-hex-127"))


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def test_the_heavy_hex_lattice_is_eagles() -> None:
    couplings = heavy_hex()
    neighbours = {qubit: [p for p in couplings if qubit in p] for qubit in range(127)}
    assert len(couplings) == len(set(couplings)) == 144
    assert {qubit for pair in couplings for qubit in pair} == set(range(127))
    assert sorted({len(pairs) for pairs in neighbours.values()}) == [1, 2, 3]
    # As IBM numbers them.
    known = {(0, 14), (14, 18), (12, 17), (17, 30), (20, 33), (33, 39), (32, 36), (36, 51)}
    assert known <= set(couplings)
    assert {(96, 109), (109, 114), (108, 112), (112, 126), (125, 126)} <= set(couplings)


def test_a_target_carries_errors_durations_and_control_flow() -> None:
    settings = AerSettings(layout="heavy-hex-127", noise=Noise(two_qubit=0.01))
    target = target_of(device_of("noisy", settings))
    assert target.num_qubits == 127
    assert target["cz"][(0, 14)].error == 0.01
    assert target["sx"][(3,)].duration == 60e-9
    assert target["rz"][(3,)].duration == 0
    assert {"if_else", "while_loop", "reset", "delay", "measure"} <= set(target.operation_names)
    assert target.instruction_supported("rz", (5,), parameters=[0.123])
    assert not target.instruction_supported("cz", (0, 2))


def test_a_target_is_built_once_per_hash() -> None:
    renamed = ALL_TO_ALL.model_copy(update={"name": "another"})
    assert target_of(renamed) is target_of(ALL_TO_ALL)
    assert target_of(EAGLE) is not target_of(ALL_TO_ALL)


def test_a_gate_that_qiskit_does_not_have_is_the_drivers_fault() -> None:
    strange = Device(
        name="strange",
        num_qubits=1,
        gates=(Gate(name="warp"),),
        limits=Limits(max_qubits=1, max_shots=1),
    )
    with pytest.raises(OperatorNeeded, match=r"'warp'.*strange"):
        target_of(strange)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_all_to_all_keeps_a_circuits_own_size(level: int) -> None:
    compiled = compile_circuit(bell(), ALL_TO_ALL, level, seed=1)
    (isa,) = qpy.load(io.BytesIO(compiled.qpy))
    assert isa.num_qubits == 2
    assert compiled.layout == ()


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_heavy_hex_gets_native_gates_on_coupled_qubits(level: int) -> None:
    circuit = QuantumCircuit(3, 3)
    circuit.ccx(0, 1, 2)
    circuit.measure(range(3), range(3))
    compiled = compile_circuit(circuit, EAGLE, level, seed=1)
    (isa,) = qpy.load(io.BytesIO(compiled.qpy))
    pairs = {
        tuple(sorted(isa.find_bit(qubit).index for qubit in step.qubits))
        for step in isa.data
        if step.operation.name == "cz"
    }
    assert set(compiled.operations) <= {"rz", "sx", "x", "cz", "measure"}
    assert pairs <= {tuple(sorted(pair)) for pair in heavy_hex()}
    assert len(compiled.layout) == 3


def test_compiling_with_a_seed_repeats_itself() -> None:
    one, two = [compile_circuit(bell(), EAGLE, 1, seed=3) for _ in range(2)]
    assert (one.layout, one.operations, one.depth) == (two.layout, two.operations, two.depth)
    assert one.registers == (Register("c", 2),)


def test_registers_that_share_bits_are_refused() -> None:
    bits = [Clbit(), Clbit()]
    shared = QuantumCircuit(bits, ClassicalRegister(name="a", bits=bits))
    shared.add_register(ClassicalRegister(name="b", bits=bits[1:]))
    backwards = QuantumCircuit(bits, ClassicalRegister(name="a", bits=bits[::-1]))
    for circuit in (shared, backwards):
        with pytest.raises(InputError, match="register"):
            registers_of_circuit(circuit)


def test_too_many_qubits_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"128 qubits.*aer-heavyhex takes at most 127"):
        compile_circuit(QuantumCircuit(128), EAGLE)


@pytest.mark.parametrize(
    "asked",
    [
        {"programs": 1, "shots": 0},
        {"programs": 1, "shots": -1},
        {"programs": 1, "shots": 1_000_001},
        {"programs": 501, "shots": 1},
        {"programs": 1, "shots": 1, "qubits": 257},
    ],
)
def test_limits_refuse(asked: dict[str, Any]) -> None:
    check_limits(ALL_TO_ALL, programs=500, shots=1_000_000, qubits=256)
    with pytest.raises(InputError):
        check_limits(ALL_TO_ALL, **asked)
