"""Expectation values without misread bits: unbiased, and with errors as wide as they scatter."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from qpuflow.domain.calibration import Confusion
from qpuflow.domain.errors import InputError
from qpuflow.domain.executable import Register
from qpuflow.domain.mitigated_observables import mitigated_expectations
from qpuflow.domain.mitigation import mitigated
from tests.domain.test_mitigation import LEFT, RIGHT, dataset, misread, readout

TRUE = [readout(RIGHT, 4), readout(LEFT, 1)]
TERMS = {"energy": {"ZZ": 1.0, "IZ": 0.5}, "left": {"ZI": 1.0}}
TRUTH = {"00": 0.6, "11": 0.1, "01": 0.3}
EXACT = {"energy": 0.25 + (0.7 - 0.3) + 0.5 * (0.6 - 0.4), "left": 0.9 - 0.1}


def expectations(data: xr.Dataset, readouts: list[Confusion]) -> xr.Dataset:
    return mitigated_expectations([TERMS], {"energy": 0.25, "left": 0.0}, [data], [readouts])


@pytest.mark.parametrize("calibration_shots", [10**9, 500])
def test_values_are_right_and_error_bars_as_wide_as_they_scatter(calibration_shots: int) -> None:
    random = np.random.default_rng(11)

    def calibrated(one: Confusion) -> Confusion:
        low, high = random.binomial(calibration_shots, one.matrix[1]) / calibration_shots
        return readout(((1 - low, 1 - high), (low, high)), one.qubit, calibration_shots)

    results = [
        expectations(dataset([misread(TRUTH, TRUE, 1000, seed)]), [calibrated(o) for o in TRUE])
        for seed in range(200)
    ]
    values = np.array([one["mitigated_expectation"].values[0] for one in results])
    errors = np.array([one["mitigated_expectation_error"].values[0] for one in results])
    assert values.mean(axis=0) == pytest.approx(list(EXACT.values()), abs=0.015)
    assert values.std(axis=0) == pytest.approx(errors.mean(axis=0), rel=0.2)


def test_where_all_outcomes_were_seen_it_is_what_m3_makes_of_them() -> None:
    data = dataset([misread(TRUTH, TRUE, 5000, seed=5)])
    quasi = mitigated(data, TRUE)
    signs = {"00": (1, 1), "01": (-1, 1), "10": (1, -1), "11": (-1, -1)}
    right, left = np.array([signs[str(outcome)] for outcome in quasi["outcome"].values]).T
    shares = quasi["mitigated"].values[0]
    found = expectations(data, TRUE)["mitigated_expectation"].values[0]
    assert found == pytest.approx([0.25 + shares @ (right * left + right / 2), shares @ left])


def test_settings_with_other_qubits_behind_the_same_bits_are_added() -> None:
    perfect = [readout(((1.0, 0.0), (0.0, 1.0)), qubit) for qubit in (0, 1)]
    in_z, in_x = dataset([misread(TRUTH, TRUE, 4000, seed=1)]), dataset([{"01": 750, "00": 250}])
    found = mitigated_expectations(
        [{"sum": {"ZI": 2.0}}, {"sum": {"IZ": 1.0}}], {"sum": -1.0}, [in_z, in_x], [TRUE, perfect]
    )
    error = float(found["mitigated_expectation_error"][0, 0])
    assert float(found["mitigated_expectation"][0, 0]) == pytest.approx(
        -1 + 2 * 0.8 - 0.5, abs=5 * error
    )
    assert 0.02 < error < 0.05


def test_bits_that_nothing_wrote_are_left_as_they_are_and_those_of_other_registers_out() -> None:
    data = dataset([{"10 0": 900, "00 0": 100}], Register("a", 1), Register("measured", 2))
    found = mitigated_expectations(
        [{"z": {"ZI": 1.0, "IZ": 3.0}}], {"z": 0.0}, [data], [[None, None, readout(LEFT)]]
    )
    assert float(found["mitigated_expectation"][0, 0]) == pytest.approx(
        3 + 1 - 2 * (0.9 - 0.02) / 0.86
    )


def test_a_readout_that_tells_nothing_is_not_undone() -> None:
    blind = readout(((0.52, 0.48), (0.48, 0.52)), qubit=3)
    with pytest.raises(InputError, match="readout of qubit 3 cannot be undone"):
        expectations(dataset([{"00": 10}]), [TRUE[0], blind])
