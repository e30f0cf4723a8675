from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qpuflow.domain.errors import InputError
from qpuflow.domain.executable import Executable
from qpuflow.domain.observables import MeasurementPlan, count_settings, evaluate, plan
from qpuflow.domain.parsing import parse, registers_in
from qpuflow.domain.request import Program
from qpuflow.domain.result import counts_of, dataset_of
from tests.domain.programs import BELL2, QASM3, bell_circuit

if TYPE_CHECKING:
    import xarray as xr
    from qiskit import QuantumCircuit


def unmeasured(qubits: int = 3, seed: int = 1) -> QuantumCircuit:
    """A state without symmetries, so that a wrong sign, letter or order shows."""
    from qiskit import QuantumCircuit

    angles = np.random.default_rng(seed).uniform(0.3, 2.5, size=(2, qubits, 2))
    circuit = QuantumCircuit(qubits)
    for layer in angles:
        for qubit, (theta, phi) in enumerate(layer):
            circuit.ry(float(theta), qubit)
            circuit.rz(float(phi), qubit)
        for qubit in range(qubits - 1):
            circuit.cx(qubit, qubit + 1)
    return circuit


def exact_counts(circuit: QuantumCircuit, shots: int) -> dict[str, int]:
    """The counts nearest to the exact distribution, or a sample of it."""
    from qiskit.quantum_info import Statevector

    unmeasured = circuit.remove_final_measurements(inplace=False)
    assert unmeasured is not None
    state = Statevector(unmeasured)
    return {key: round(p * shots) for key, p in state.probabilities_dict().items()}


def run(planned: MeasurementPlan, shots: int = 10**9) -> list[xr.Dataset]:
    return [
        dataset_of(
            Executable("p", b"", registers_in(circuit)), shots, [exact_counts(circuit, shots)]
        )
        for circuit in planned.circuits
    ]


labels = st.text("IXYZ", min_size=3, max_size=3)
sums = st.dictionaries(labels, st.floats(-2, 2).filter(lambda c: abs(c) > 1e-3), min_size=1)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.sampled_from("ab"), sums, min_size=1))
def test_any_pauli_sum_agrees_with_linear_algebra(observables: dict[str, dict[str, float]]) -> None:
    from qiskit.quantum_info import SparsePauliOp, Statevector

    circuit = unmeasured()
    planned = plan(circuit, observables)
    estimated = evaluate(planned, run(planned))
    for name, terms in observables.items():
        operator = SparsePauliOp.from_list(list(terms.items()))
        truth = Statevector(circuit).expectation_value(operator).real
        value = float(estimated["expectation"].sel(observable=name)[0])
        assert value == pytest.approx(truth, abs=1e-6 * sum(map(abs, terms.values())))


def test_error_bars_contain_the_truth_as_often_as_they_say() -> None:
    """Sampled many times over three settings; covariances within a setting are included."""
    from qiskit.quantum_info import SparsePauliOp, Statevector

    circuit = unmeasured()
    terms = {"ZZI": 0.7, "IZZ": -0.4, "ZIZ": 0.3, "XXI": 0.5, "IXI": -0.6, "YIY": 0.8, "III": 2.0}
    planned = plan(circuit, {"e": terms})
    truth = (
        Statevector(circuit).expectation_value(SparsePauliOp.from_list(list(terms.items()))).real
    )
    rng, inside, rounds = np.random.default_rng(3), 0, 400
    ideal = [counts_of(dataset) for dataset in run(planned, 10**6)]
    executables = [Executable("p", b"", registers_in(c)) for c in planned.circuits]
    for _ in range(rounds):
        datasets: list[xr.Dataset] = []
        for executable, counts in zip(executables, ideal, strict=True):
            chances = np.array(list(counts.values()), dtype=float)
            drawn = rng.multinomial(300, chances / chances.sum())
            own = {key: int(n) for key, n in zip(counts, drawn, strict=True) if n}
            datasets.append(dataset_of(executable, 300, [own]))
        result = evaluate(planned, datasets)
        inside += abs(float(result["expectation"][0, 0]) - truth) <= float(
            result["expectation_error"][0, 0]
        )
    assert abs(inside / rounds - 0.683) < 0.12  # five standard deviations of 400 trials


def test_without_observables_the_plan_is_the_circuit() -> None:
    circuit = bell_circuit()
    planned = plan(circuit, {})
    assert planned.circuits == (circuit,)
    datasets = run(planned)
    assert evaluate(planned, datasets) is datasets[0]


def test_qubitwise_commuting_paulis_share_a_circuit() -> None:
    observables = {"a": {"ZZI": 1.0, "IZZ": 1.0, "ZII": 0.5}, "b": {"IIX": 1.0, "ZZI": 2.0}}
    planned = plan(unmeasured(), observables)
    assert len(planned.circuits) == 2
    assert len(plan(unmeasured(), {"a": {"XXX": 1.0, "YYY": 1.0, "ZZZ": 1.0}}).circuits) == 3


def test_the_first_circuit_measures_in_the_computational_basis_when_any_does() -> None:
    circuit = unmeasured()
    planned = plan(circuit, {"e": {"XXX": 1.0, "ZZZ": 1.0}})
    assert "h" not in planned.circuits[0].count_ops()
    assert set(counts_of(run(planned)[0])) <= {format(k, "03b") for k in range(8)}


def test_the_given_circuit_is_left_alone() -> None:
    circuit = unmeasured()
    before = circuit.copy()
    plan(circuit, {"e": {"XYZ": 1.0}})
    assert circuit == before


def test_identities_count_exactly_and_without_error() -> None:
    planned = plan(unmeasured(), {"one": {"III": 2.5}, "z": {"IIZ": 1.0, "III": 1.0}})
    result = evaluate(planned, run(planned, 1000))
    assert float(result["expectation"].sel(observable="one")[0]) == 2.5
    assert float(result["expectation_error"].sel(observable="one")[0]) == 0
    assert float(result["expectation_error"].sel(observable="z")[0]) > 0
    alone = plan(unmeasured(), {"one": {"III": 2.5}})
    assert len(alone.circuits) == 1
    assert float(evaluate(alone, run(alone))["expectation"][0, 0]) == 2.5


def test_a_circuit_that_measures_gives_z_strings_over_its_bits() -> None:
    circuit = bell_circuit()
    planned = plan(circuit, {"zz": {"ZZ": 1.0}, "z": {"IZ": 1.0, "II": 3.0}})
    assert planned.circuits == (circuit,)
    result = evaluate(planned, run(planned, 1000))
    assert result["expectation"].values.tolist() == [[1.0, 3.0]]
    assert float(result["expectation_error"].sel(observable="z")[0]) == pytest.approx(
        1 / math.sqrt(999)
    )


def test_labels_of_several_registers_run_over_all_bits_from_the_right() -> None:
    source = QASM3 + (
        "qubit[3] q;\nbit[1] a;\nbit[2] b;\nx q[0];\na[0] = measure q[0];\n"
        "b[0] = measure q[1];\nb[1] = measure q[2];\n"
    )
    circuit = parse(Program(source=source)).circuit
    planned = plan(circuit, {"a": {"IIZ": 1.0}, "b": {"ZII": 1.0}})
    data = dataset_of(Executable("p", b"", registers_in(circuit)), 10, [{"00 1": 10}])
    assert evaluate(planned, [data])["expectation"].values.tolist() == [[-1.0, 1.0]]


def test_unused_classical_bits_of_the_program_do_not_shift_the_readout() -> None:
    circuit = parse(Program(source=QASM3 + "qubit[2] q;\nbit[3] c;\nx q[0];")).circuit
    planned = plan(circuit, {"z0": {"IZ": 1.0}, "z1": {"ZI": 1.0}})
    registers = registers_in(planned.circuits[0])
    assert [register.size for register in registers] == [3, 2]
    data = dataset_of(Executable("p", b"", registers), 10, [{"01 000": 10}])
    assert evaluate(planned, [data])["expectation"].values.tolist() == [[-1.0, 1.0]]


def test_points_are_evaluated_apart() -> None:
    planned = plan(bell_circuit(), {"z": {"IZ": 1.0}})
    executable = Executable("p", b"", registers_in(planned.circuits[0]), ({"t": 0.0}, {"t": 1.0}))
    data = dataset_of(executable, 10, [{"00": 10}, {"01": 10}])
    assert evaluate(planned, [data])["expectation"].values.tolist() == [[1.0], [-1.0]]


@pytest.mark.parametrize(
    ("measured", "label", "words"),
    [
        (True, "ZZZ", "has 3 letters, but the program has 2 classical bits"),
        (True, "XZ", "another basis"),
        (False, "ZZ", "has 2 letters, but the program has 3 qubits"),
    ],
)
def test_labels_that_do_not_fit_are_refused(measured: bool, label: str, words: str) -> None:
    circuit = bell_circuit() if measured else unmeasured()
    with pytest.raises(InputError, match=words):
        plan(circuit, {"e": {label: 1.0}})


def test_settings_are_counted_as_planned() -> None:
    program = parse(Program(source=QASM3 + "qubit[2] q;\nh q;"))
    observables = {"e": {"XX": 1.0, "YY": 1.0, "ZI": 1.0, "IZ": 1.0}}
    assert count_settings(program, observables) == len(plan(program.circuit, observables).circuits)
    assert count_settings(program, {}) == 1
    assert count_settings(parse(Program(source=BELL2)), {"z": {"ZZ": 1.0}}) == 1
