"""Who may compile, which of two results is the better one, and what compiled circuits are worth."""

from __future__ import annotations

import math

import pytest
from qiskit import QuantumCircuit

from qpuflow.domain.compilers import (
    ALIKE,
    ALONE,
    BY_DEPTH,
    BY_FIDELITY,
    BY_GATES,
    Candidate,
    Compiler,
    better,
    check_compiler,
    vendor_level,
)
from qpuflow.domain.compiling import compile_circuit
from qpuflow.domain.device import Device, Gate, GateSite, Limits
from qpuflow.domain.errors import InputError
from qpuflow.domain.figures import Figures

LINE = Device(
    name="line",
    num_qubits=3,
    gates=(
        *(
            Gate(name=name, sites=tuple(GateSite(qubits=(q,), error=1e-3) for q in range(3)))
            for name in ("rz", "sx", "x")
        ),
        Gate(
            name="cx",
            sites=(GateSite(qubits=(0, 1), error=0.01), GateSite(qubits=(1, 2), error=0.02)),
        ),
        Gate(
            name="measure",
            sites=tuple(GateSite(qubits=(q,), error=0.05) for q in range(3)),
        ),
        Gate(name="if_else"),
    ),
    limits=Limits(max_qubits=3, max_shots=1000),
)


def candidates(ours: Figures | None, theirs: Figures | None) -> list[Candidate]:
    return [
        Candidate(Compiler.QISKIT, 0.1, ours),
        Candidate(Compiler.PYTKET, 0.2, theirs),
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "kept"),
    [
        (Figures(3, 9, -0.2), Figures(4, 9, -0.1), (Compiler.PYTKET, BY_FIDELITY)),
        (Figures(3, 9, None), Figures(4, 8, -0.1), (Compiler.QISKIT, BY_GATES)),
        (Figures(3, 9, None), Figures(3, 8, None), (Compiler.PYTKET, BY_DEPTH)),
        (Figures(3, 9, -0.1), Figures(2, 9, -0.1), (Compiler.PYTKET, BY_GATES)),
        (Figures(3, 9, None), Figures(3, 9, None), (Compiler.QISKIT, ALIKE)),
        (None, Figures(3, 9, None), (Compiler.PYTKET, ALONE)),
        (Figures(3, 9, None), None, (Compiler.QISKIT, ALONE)),
    ],
)
def test_fidelity_decides_then_gates_then_depth(
    ours: Figures | None, theirs: Figures | None, kept: tuple[Compiler, str]
) -> None:
    assert better(candidates(ours, theirs)) == kept


def test_of_nothing_nothing_is_kept() -> None:
    assert better(candidates(None, None)) is None


def test_a_compiler_that_the_qpu_lacks_is_refused_with_those_it_has() -> None:
    check_compiler(None, (), "line", parameters=True)
    check_compiler(Compiler.VENDOR, (Compiler.QISKIT, Compiler.VENDOR), "line", parameters=True)
    with pytest.raises(InputError, match="line has no compiler 'vendor'") as caught:
        check_compiler(Compiler.VENDOR, (Compiler.QISKIT,), "line", parameters=False)
    assert caught.value.remedy == "It has qiskit."
    with pytest.raises(InputError) as caught:
        check_compiler(Compiler.BEST, (Compiler.QISKIT,), "line", parameters=False)
    assert "qpuflow[pytket]" in str(caught.value.remedy)


def test_pytket_alone_takes_no_parameters() -> None:
    every = tuple(Compiler)
    check_compiler(Compiler.BEST, every, "line", parameters=True)
    with pytest.raises(InputError, match="angles are numbers"):
        check_compiler(Compiler.PYTKET, every, "line", parameters=True)


def test_the_vendors_compiler_leaves_alone_what_another_was_chosen_for() -> None:
    levels = {asked: vendor_level(asked, 3) for asked in (None, *Compiler)}
    assert levels == {
        None: None,
        Compiler.QISKIT: 0,
        Compiler.PYTKET: 0,
        Compiler.BEST: 0,
        Compiler.VENDOR: 3,
    }


def test_the_fidelity_is_that_of_all_operations_where_they_are() -> None:
    circuit = QuantumCircuit(3, 1)
    circuit.sx(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.barrier()
    circuit.measure(2, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.cx(0, 1)
    figures = compile_circuit(circuit, LINE, 0).figures
    assert figures.two_qubit_gates == 3
    expected = 0.999 * 0.99 * 0.98 * 0.95 * 0.99
    assert figures.fidelity == pytest.approx(expected)


def test_without_errors_no_fidelity_is_claimed() -> None:
    gates = (*LINE.gates, Gate(name="reset"))
    device = LINE.model_copy(update={"gates": gates})
    circuit = QuantumCircuit(1)
    circuit.sx(0)
    assert compile_circuit(circuit, device, 0).figures.fidelity == pytest.approx(0.999)
    circuit.reset(0)
    assert compile_circuit(circuit, device, 0).figures.fidelity is None


def test_the_figures_of_several_circuits_add_up() -> None:
    both = Figures(1, 2, math.log(0.9)) + Figures(3, 4, math.log(0.5))
    assert (both.two_qubit_gates, both.depth) == (4, 6)
    assert both.fidelity == pytest.approx(0.45)
    assert (both + Figures(0, 0, None)).fidelity is None
