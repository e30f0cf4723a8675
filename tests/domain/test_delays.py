"""Delays keep their length on the way to a driver."""

from __future__ import annotations

import io
from typing import Any

import pytest
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter

from qpuflow.domain.compiling import compile_circuit
from qpuflow.domain.delays import in_nanoseconds
from qpuflow.domain.errors import InputError
from qpuflow.drivers.aer import AerSettings
from qpuflow.drivers.aer.devices import device_of


@pytest.mark.parametrize(
    ("duration", "unit", "nanoseconds"),
    [(30, "ns", 30), (0.1, "us", 100), (2.5e-7, "s", 250), (3, "ms", 3_000_000), (1500, "ps", 2)],
)
def test_a_compiled_delay_is_in_nanoseconds(duration: float, unit: str, nanoseconds: int) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.delay(duration, 0, unit=unit)
    circuit.h(0)
    compiled = compile_circuit(circuit, device_of("aer", AerSettings()), 1, seed=1)
    (isa,) = qpy.load(io.BytesIO(compiled.qpy))
    assert delays(isa) == [(nanoseconds, "dt")]


def test_so_is_one_inside_a_branch() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.delay(1, 0, unit="us")
    (block,) = in_nanoseconds(circuit).data[-1].operation.blocks
    assert delays(block) == [(1000, "dt")]


def test_a_circuit_without_delays_is_left_alone() -> None:
    circuit = QuantumCircuit(1)
    circuit.x(0)
    assert in_nanoseconds(circuit) is circuit


def test_a_delay_without_a_number_is_refused() -> None:
    circuit = QuantumCircuit(1)
    circuit.delay(Parameter("t"), 0, unit="us")
    with pytest.raises(InputError, match="A delay of t us"):
        in_nanoseconds(circuit)


def delays(circuit: QuantumCircuit) -> list[tuple[Any, Any]]:
    return [
        (step.operation.duration, step.operation.unit)  # pyright: ignore[reportAttributeAccessIssue]
        for step in circuit.data
        if step.operation.name == "delay"
    ]
