"""Programs of other SDKs mean the same when they have become OpenQASM 3."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from braket.circuits import Circuit as BraketCircuit
from braket.circuits.serialization import IRType
from pydantic import ValidationError
from pytket.circuit import Circuit as TketCircuit
from pytket.circuit import OpType
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator

from qpuflow.domain.parsing import parse
from qpuflow.domain.request import Program, ProgramFormat

ONE = ("h", "x", "y", "z", "s", "si", "t", "ti", "v", "vi", "i")
ONE_ANGLE = ("rx", "ry", "rz", "phaseshift", "gpi", "gpi2")
TWO = ("cnot", "cy", "cz", "cv", "ecr", "swap", "iswap")
TWO_ANGLE = (
    *("cphaseshift", "cphaseshift00", "cphaseshift01", "cphaseshift10"),
    *("pswap", "xx", "yy", "zz", "xy"),
)


def circuit_of(source: str) -> QuantumCircuit:
    """As it is after all that happens to a program that is submitted."""
    parsed = parse(Program(source=source))
    assert parsed.format is ProgramFormat.OPENQASM3
    return parsed.circuit


def require_same(circuit: QuantumCircuit, unitary: Any) -> None:
    """Of a unitary whose first qubit is the leftmost; phases of the whole aside."""
    unmeasured = circuit.remove_final_measurements(inplace=False)
    assert unmeasured is not None
    ours: Any = Operator(unmeasured.reverse_bits()).data
    overlap = abs(np.trace(ours.conj().T @ unitary)) / len(unitary)
    assert overlap == pytest.approx(1.0, abs=1e-9)


def braket_json(circuit: Any, kind: IRType) -> str:
    return circuit.to_ir(ir_type=kind).json()


def scrambled(gate: Callable[[Any], object], qubits: int) -> Any:
    """So that no order of qubits looks like another."""
    circuit: Any = BraketCircuit()  # its gates are registered at run time
    for qubit in range(qubits):
        circuit.ry(qubit, 0.3 + qubit).rz(qubit, 1.1 - qubit)
    gate(circuit)
    for qubit in range(qubits):
        circuit.rx(qubit, 0.7 * (qubit + 1))
    return circuit


def gates() -> list[Any]:
    found: list[tuple[str, int, tuple[float, ...]]] = [
        *((name, 1, ()) for name in ONE),
        *((name, 1, (0.4,)) for name in ONE_ANGLE),
        *((name, 2, ()) for name in TWO),
        *((name, 2, (0.4,)) for name in TWO_ANGLE),
        *((name, 3, ()) for name in ("ccnot", "cswap")),
        ("prx", 1, (0.4, 0.9)),
    ]
    return [pytest.param(*one, id=one[0]) for one in found]


@pytest.mark.parametrize(("name", "qubits", "angles"), gates())
def test_each_gate_of_amazons_is_what_it_is_there(
    name: str, qubits: int, angles: tuple[float, ...]
) -> None:
    circuit = scrambled(lambda c: getattr(c, name)(*range(qubits), *angles), qubits)
    unitary = circuit.to_unitary()
    require_same(circuit_of(braket_json(circuit, IRType.OPENQASM)), unitary)


@pytest.mark.filterwarnings("ignore:The JAQCD action type is deprecated")
def test_jaqcd_is_read_and_all_is_measured() -> None:
    circuit: Any = BraketCircuit()
    circuit.h(0).cnot(0, 2).rz(1, 0.3).ccnot(0, 1, 2).xx(1, 2, 0.2)
    read = circuit_of(braket_json(circuit, IRType.JAQCD))
    assert read.num_clbits == 3
    require_same(read, circuit.to_unitary())


def test_what_a_braket_program_measures_stays() -> None:
    circuit: Any = BraketCircuit()
    circuit.x(0).h(1).measure(0)
    read = circuit_of(braket_json(circuit, IRType.OPENQASM))
    assert (read.num_qubits, read.count_ops()["measure"]) == (2, 1)


def tket() -> TketCircuit:
    circuit = TketCircuit(3, 3)
    circuit.H(0).X(1).Rx(0.3, 0).Ry(0.7, 1).Rz(1.2, 2).CX(0, 2).CZ(1, 2).SWAP(0, 1)
    circuit.add_gate(OpType.PhasedX, [0.4, 0.9], [1]).add_gate(OpType.TK1, [0.1, 0.2, 0.3], [2])
    circuit.add_gate(OpType.ZZPhase, [0.35], [0, 1]).add_gate(OpType.ZZMax, [1, 2])
    circuit.V(0).Vdg(1).Sdg(2).T(0).CRz(0.4, 0, 1).CU1(0.6, 1, 2).U3(0.1, 0.2, 0.3, 0)
    circuit.U2(0.1, 0.4, 2).add_gate(OpType.XXPhase, [0.2], [0, 2]).CCX(0, 1, 2).CSWAP(2, 0, 1)
    for gate, places in TWO_OF_PYTKETS.items():
        circuit.add_gate(gate, places)
    return circuit


TWO_OF_PYTKETS = {
    OpType.CV: [0, 1],
    OpType.CVdg: [2, 1],
    OpType.CSX: [1, 0],
    OpType.ECR: [1, 2],
    OpType.CH: [2, 0],
}


def test_a_pytket_circuit_is_the_same_unitary() -> None:
    circuit = tket()
    require_same(circuit_of(json.dumps(circuit.to_dict())), circuit.get_unitary())


def test_its_measurements_resets_and_conditions_stay() -> None:
    circuit = TketCircuit(2, 2)
    circuit.H(0).Measure(0, 1).Reset(0).X(1, condition_bits=[1], condition_value=1).Measure(1, 0)
    read = circuit_of(json.dumps(circuit.to_dict()))
    operations = read.count_ops()
    assert (operations["measure"], operations["reset"], operations["if_else"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{", "begins as JSON, and is none"),
        ("{}", "nobody here reads"),
        ('{"commands": [{}], "qubits": [], "bits": []}', "not whole"),
        ('{"braketSchemaHeader": {"name": "braket.ir.ahs.program"}}', "not braket.ir.ahs"),
        (
            '{"braketSchemaHeader": {"name": "braket.ir.openqasm.program"}, '
            '"source": "OPENQASM 3.0; qubit q;\\n#pragma braket verbatim\\nbox {}"}',
            "cannot be kept",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(source: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Program(source=source)
