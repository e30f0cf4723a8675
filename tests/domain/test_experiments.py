"""What a calibration runs, and what it makes of the counts."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import qasm3
from qiskit.quantum_info import Operator, Statevector

from qpuflow.domain.experiments import CLIFFORDS, Experiment, Found, experiment, ones
from qpuflow.domain.fits import Decay, fit
from qpuflow.domain.quantity import Quantity

SHOTS = 4000


def made(quantity: Quantity, num_qubits: int = 2) -> Experiment:
    return experiment(quantity, num_qubits, longest_delay_seconds=1e-4, seed=7)


def sampled(probabilities: NDArray[np.float64]) -> list[dict[str, int]]:
    """Counts of two qubits: qubit 0 is 1 so often, qubit 1 never."""
    random = np.random.default_rng(3)
    drawn = [int(random.binomial(SHOTS, p)) for p in probabilities]
    return [{"01": count, "00": SHOTS - count} for count in drawn]


def first(found: list[Found | None]) -> Found:
    assert found[0] is not None
    return found[0]


def test_qubit_0_is_the_rightmost_bit() -> None:
    counts = {"01": 30, "10": 10, "00": 60}
    assert ones(counts, 0) == pytest.approx(0.3)
    assert ones(counts, 1) == pytest.approx(0.1)


@pytest.mark.parametrize("quantity", [Quantity.T1, Quantity.T2_ECHO, Quantity.GATE])
def test_an_exact_chip_shows_no_decay(quantity: Quantity) -> None:
    for program in made(quantity).programs:
        circuit = qasm3.loads(program.source)
        circuit.remove_final_measurements()
        (outcome,) = Statevector(circuit).probabilities_dict(decimals=9)
        assert outcome == ("11" if quantity is Quantity.T1 else "00")


def test_sequences_of_clifford_gates_are_random_and_undone() -> None:
    sources = [program.source for program in made(Quantity.GATE, 1).programs]
    assert len(set(sources)) == len(sources)
    circuit = qasm3.loads(sources[-1])
    circuit.remove_final_measurements()
    assert Operator(circuit).equiv(Operator.from_label("I"))
    assert circuit.count_ops()["sx"] > 300


def test_delays_of_an_echo_are_two_halves_on_the_grid() -> None:
    for program in made(Quantity.T2_ECHO).programs:
        circuit = qasm3.loads(program.source)
        delays = [one.operation for one in circuit.data if one.operation.name == "delay"]
        assert len({delay.duration for delay in delays}) == 1
        assert all(delay.unit == "ns" and delay.duration % 4 == 0 for delay in delays)


def test_the_confusion_of_a_readout_has_prepared_states_as_columns() -> None:
    zero, one = {"00": 990, "01": 10}, {"11": 960, "10": 40}
    found = first(made(Quantity.READOUT).read([zero, one]))
    assert np.allclose(found.details["confusion"], [[0.99, 0.04], [0.01, 0.96]])
    assert found.value == pytest.approx(0.975)
    assert 0.002 < found.error < 0.005


def test_a_decay_is_found_within_its_error() -> None:
    delays = np.linspace(0, 1e-4, 9)
    t1 = first(made(Quantity.T1).read(sampled(0.03 + 0.95 * np.exp(-delays / 4e-5))))
    assert abs(t1.value - 4e-5) < 4 * t1.error < 2e-5
    echo = first(made(Quantity.T2_ECHO).read(sampled(0.5 - 0.48 * np.exp(-delays / 3e-5))))
    assert abs(echo.value - 3e-5) < 4 * echo.error < 2e-5
    lengths = np.repeat(CLIFFORDS, 2)
    gate = first(made(Quantity.GATE).read(sampled(0.5 - 0.49 * 0.998**lengths)))
    assert abs(gate.value - 0.001) < 4 * gate.error < 5e-4


def test_where_nothing_decays_nothing_is_found() -> None:
    x = np.linspace(0, 1e-4, 9)
    random = np.random.default_rng(1)
    flat = random.binomial(SHOTS, 0.5, size=9) / SHOTS
    assert fit(x, flat, SHOTS, Decay(0.0, 1.0)) is None
    still = random.binomial(SHOTS, 0.97, size=9) / SHOTS
    assert fit(x, still, SHOTS, Decay(0.0, 1.0)) is None
