from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
import xarray as xr
from qiskit import QuantumCircuit

from qpuflow.domain import mitigation
from qpuflow.domain.calibration import Confusion, Matrix
from qpuflow.domain.errors import InputError
from qpuflow.domain.executable import Executable, Register
from qpuflow.domain.mitigation import measured_into, mitigated
from qpuflow.domain.result import dataset_of

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LEFT: Matrix = ((0.98, 0.12), (0.02, 0.88))
RIGHT: Matrix = ((0.93, 0.05), (0.07, 0.95))


def readout(matrix: Matrix, qubit: int = 0, shots: int = 10**9) -> Confusion:
    return Confusion(qubit, matrix, shots, AT)


def misread(
    truth: dict[str, float], readouts: list[Confusion], shots: int, seed: int
) -> dict[str, int]:
    """Counts of so many shots of a distribution over bits, clbit 0 rightmost."""
    random = np.random.default_rng(seed)
    keys = list(truth)
    drawn = random.choice(len(keys), size=shots, p=list(truth.values()))
    counts: dict[str, int] = {}
    for bits in (keys[index] for index in drawn):
        seen = ""
        for place, one in enumerate(reversed(readouts)):
            seen += str(int(random.random() < one.matrix[1][int(bits[place])]))
        counts[seen] = counts.get(seen, 0) + 1
    return counts


def dataset(counts: list[dict[str, int]], *registers: Register) -> xr.Dataset:
    program = Executable("p", b"", registers, points=tuple({} for _ in counts))
    return dataset_of(program, sum(counts[0].values()), counts)


def test_misread_bits_are_undone_each_by_its_own_matrix() -> None:
    readouts = [readout(RIGHT, 4), readout(LEFT, 1)]
    truth = {"01": 0.7, "10": 0.3}
    counts = misread(truth, readouts, 40_000, seed=1)
    assert abs(counts["01"] / 40_000 - 0.7) > 0.03, "clearly misread"
    result = mitigated(dataset([counts]), readouts)
    found = dict(zip(result["outcome"].values, result["mitigated"].values[0], strict=True))
    errors = dict(zip(result["outcome"].values, result["mitigated_error"].values[0], strict=True))
    for outcome in ("00", "01", "10", "11"):
        assert abs(found[outcome] - truth.get(outcome, 0.0)) < 5 * errors[outcome] < 0.02
    assert result["confusion"].dims == ("clbit", "measured", "prepared")
    assert result["confusion"].values[1].tolist() == [list(row) for row in LEFT]
    assert result["confusion_measured_at"].values.tolist() == [AT.isoformat()] * 2
    assert sum(result["counts"].values[0]) == 40_000, "what was seen stays"


@pytest.mark.parametrize("calibration_shots", [10**9, 500])
def test_error_bars_are_as_wide_as_results_scatter(calibration_shots: int) -> None:
    truth = {"00": 0.5, "11": 0.5}
    true = [readout(RIGHT), readout(LEFT)]
    random = np.random.default_rng(7)

    def calibrated(one: Confusion) -> Confusion:
        """As a calibration with so many shots would find it."""
        low, high = random.binomial(calibration_shots, one.matrix[1]) / calibration_shots
        return readout(((1 - low, 1 - high), (low, high)), shots=calibration_shots)

    results = [
        mitigated(dataset([misread(truth, true, 1000, seed)]), [calibrated(one) for one in true])
        for seed in range(200)
    ]
    values = np.array([one["mitigated"].values[0] for one in results])
    errors = np.array([one["mitigated_error"].values[0] for one in results])
    assert values.mean(axis=0) == pytest.approx([0.5, 0.0, 0.0, 0.5], abs=0.006)
    assert values.std(axis=0) == pytest.approx(errors.mean(axis=0), rel=0.2)


def test_bits_that_nothing_wrote_and_registers_stay_where_they_are() -> None:
    registers = (Register("a", 1), Register("b", 2))
    readouts = [None, None, readout(LEFT)]
    counts = {"10 0": 900, "00 0": 100}
    result = mitigated(dataset([counts], *registers), readouts)
    found = dict(zip(result["outcome"].values, result["mitigated"].values[0], strict=True))
    assert found["10 0"] == pytest.approx((0.9 - 0.02) / 0.86, abs=1e-4)
    assert np.isnan(result["confusion"].values[0]).all()


def test_each_point_is_mitigated_on_its_own() -> None:
    perfect = readout(((1.0, 0.0), (0.0, 1.0)))
    result = mitigated(dataset([{"00": 10}, {"11": 6, "01": 4}]), [perfect, perfect])
    assert result["mitigated"].values == pytest.approx(np.array([[1, 0, 0], [0, 0.4, 0.6]]))
    assert result["mitigated_error"].values[0].tolist() == [0, 0, 0]
    nothing = mitigated(dataset([{"": 10}]), [])
    assert nothing["mitigated"].values.tolist() == [[1.0]]


def test_many_outcomes_share_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    readouts = [readout(RIGHT), readout(LEFT)]
    data = dataset([misread({"00": 0.5, "11": 0.5}, readouts, 1000, seed=3)])
    exact = mitigated(data, readouts)["mitigated_error"].values[0]
    monkeypatch.setattr(mitigation, "MOST_EXACT", 3)
    (bound,) = set(mitigated(data, readouts)["mitigated_error"].values[0])
    assert exact.max() < bound < 5 * exact.max()


def test_a_readout_that_tells_nothing_is_not_undone() -> None:
    blind = readout(((0.52, 0.48), (0.48, 0.52)), qubit=3)
    with pytest.raises(InputError, match=r"readout of qubit 3 cannot be undone.*4% of shots"):
        mitigated(dataset([{"00": 10}]), [readout(LEFT), blind])


def test_the_last_qubit_read_into_a_bit_counts() -> None:
    circuit = QuantumCircuit(4, 3)
    circuit.measure([3, 1, 2], [0, 2, 2])
    assert measured_into(circuit) == [3, None, 2]
    with circuit.if_test((0, 1)):
        circuit.measure(0, 1)
    with pytest.raises(InputError, match="inside of a branch"):
        measured_into(circuit)
