from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from qpuflow.domain.errors import InputError
from qpuflow.domain.executable import Executable, Register
from qpuflow.domain.result import (
    ONE_SIGMA,
    counts_of,
    dataset_of,
    diagonal_expectation,
    intervals,
    marginal,
    probabilities_of,
    registers_of,
)
from qpuflow.ledger.dataset_codec import decode, encode

REGISTERS = (Register("a", 2), Register("b", 1), Register("c", 3))
keys = st.tuples(
    *(st.text("01", min_size=r.size, max_size=r.size) for r in reversed(REGISTERS))
).map(" ".join)
counts = st.dictionaries(keys, st.integers(1, 10**9), min_size=1, max_size=20)


def _executable(points: tuple[dict[str, float], ...] = ({},)) -> Executable:
    return Executable("p", b"", REGISTERS, points)


@given(counts)
def test_marginals_keep_every_shot(measured: dict[str, int]) -> None:
    for register in REGISTERS:
        kept = marginal(measured, REGISTERS, register.name)
        assert sum(kept.values()) == sum(measured.values())
        assert all(len(key) == register.size for key in kept)


@given(counts)
def test_a_marginal_of_all_bits_is_the_counts_without_spaces(measured: dict[str, int]) -> None:
    everything = marginal(measured, REGISTERS, range(6))
    assert everything == {key.replace(" ", ""): count for key, count in measured.items()}


def test_a_marginal_takes_the_register_declared_last_from_the_left() -> None:
    measured = {"110 0 01": 3, "011 1 01": 2}
    assert marginal(measured, REGISTERS, "a") == {"01": 5}
    assert marginal(measured, REGISTERS, "b") == {"0": 3, "1": 2}
    assert marginal(measured, REGISTERS, "c") == {"110": 3, "011": 2}
    assert marginal(measured, REGISTERS, [0, 5]) == {"11": 3, "01": 2}


def test_an_unknown_register_or_bit_is_named() -> None:
    with pytest.raises(InputError, match=r"'d'.*a, b, c"):
        marginal({"000 0 00": 1}, REGISTERS, "d")
    with pytest.raises(InputError, match="clbit 6"):
        marginal({"000 0 00": 1}, REGISTERS, [6])


@settings(max_examples=40)
@given(st.lists(counts, min_size=1, max_size=3))
def test_a_dataset_survives_netcdf(measured: list[dict[str, int]]) -> None:
    points = tuple({"theta": float(index)} for index in range(len(measured)))
    dataset = dataset_of(_executable(points), 10, measured, backend="aer")
    with xr.open_dataset(io.BytesIO(bytes(dataset.to_netcdf(engine="h5netcdf")))) as stored:
        copy = stored.load()
    for index, own in enumerate(measured):
        assert counts_of(copy, index) == counts_of(dataset, index) == _sorted(own)
    assert registers_of(copy) == REGISTERS
    assert copy["counts"].dtype == np.int64
    assert copy.attrs == dataset.attrs
    np.testing.assert_array_equal(copy["parameter_theta"], range(len(measured)))


def _sorted(own: dict[str, int]) -> dict[str, int]:
    return dict(sorted(own.items(), key=lambda item: (-item[1], item[0])))


def test_a_dataset_with_bits_and_expectations_survives_netcdf() -> None:
    bits = np.array([[[1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]]], dtype=np.uint8)
    dataset = dataset_of(_executable(), 2, [{"000 0 01": 1, "000 0 11": 1}], bits)
    dataset = dataset.assign_coords(observable=["energy"]).assign(
        expectation=(("point", "observable"), [[-1.5]])
    )
    with xr.open_dataset(io.BytesIO(bytes(dataset.to_netcdf(engine="h5netcdf")))) as stored:
        copy = stored.load()
    xr.testing.assert_identical(copy, decode(encode(dataset)))


@pytest.mark.parametrize(
    "values",
    [
        [1, -(2**63)],
        np.array([2**64 - 1], dtype=np.uint64),
        [0.1, -0.0, float("nan"), float("inf")],
        np.array([0.1, 1e-45], dtype=np.float32),
        np.array([1 / np.longdouble(3)]),
        [True, False],
        ["00", "", "ü☃"],
        np.array([1, 2], dtype=">i2"),
        [1 + 2j],
        np.array(["2026-11-23"], dtype="datetime64[ns]"),
        np.zeros((0, 3), dtype=np.int16),
        np.arange(6).reshape(2, 3).T,
        range(1_000),
        np.linspace(0, 1, 999).reshape(-1, 3),
    ],
    ids=[
        *(
            "int64",
            "uint64",
            "float64",
            "float32",
            "longdouble",
            "bool",
            "text",
            "big-endian",
            "complex",
        ),
        *("time", "empty", "transposed", "long", "long-table"),
    ],
)
def test_every_value_is_kept_to_the_bit(values: Any) -> None:
    array = np.array(values)
    dims = [f"dim_{number}" for number in range(array.ndim)]
    dataset = xr.Dataset({"a": (dims, array, {"unit": "s"}), "b": ((), 5)})
    copy = decode(encode(dataset))
    xr.testing.assert_identical(copy, dataset)
    assert copy["a"].dtype == dataset["a"].dtype
    assert copy["a"].values.tobytes() == dataset["a"].values.tobytes()


def test_what_was_stored_by_an_earlier_version_is_read() -> None:
    about = {"dims": ["point"], "attrs": {}, "coord": False}
    written = json.dumps({"attrs": {"shots": 7}, "variables": {"counts": about}})
    stream = io.BytesIO()
    np.savez(stream, __structure__=np.array(written), counts=np.array([3, 4]))
    dataset = decode(stream.getvalue())
    assert dataset.attrs == {"shots": 7}
    assert dataset["counts"].values.tolist() == [3, 4]


def test_a_dataset_says_what_its_registers_are_in_order_of_declaration() -> None:
    dataset = dataset_of(_executable(), 1, [{"000 0 00": 1}])
    assert json.loads(dataset.attrs["registers"]) == [["a", 2], ["b", 1], ["c", 3]]
    assert dataset.attrs["shots"] == 1
    assert dataset.attrs["program"] == "p"


def test_points_need_not_see_the_same_outcomes() -> None:
    dataset = dataset_of(_executable(({}, {})), 3, [{"0": 3}, {"1": 3}])
    assert counts_of(dataset, 0) == {"0": 3}
    assert counts_of(dataset, 1) == {"1": 3}


@pytest.mark.parametrize("truth", [0.02, 0.3, 0.5, 0.9])
def test_error_bars_contain_the_truth_as_often_as_they_say(truth: float) -> None:
    """20,000 experiments; the coverage of 68 % may be off by the intervals' own discreteness."""
    shots = 1000
    seen = np.random.default_rng(5).binomial(shots, truth, size=20_000)
    low, high = intervals(seen, shots)
    coverage = float(np.mean((low <= truth) & (truth <= high)))
    assert abs(coverage - ONE_SIGMA) < 0.04


@given(st.integers(1, 10**6), st.data())
def test_intervals_hold_the_frequency_within_bounds(shots: int, data: st.DataObject) -> None:
    seen = data.draw(st.integers(0, shots))
    low, high = intervals(np.array([seen]), shots)
    assert 0 <= low[0] <= seen / shots <= high[0] <= 1
    assert low[0] < high[0]


def test_probabilities_add_up_and_carry_error_bars() -> None:
    dataset = dataset_of(_executable(), 100, [{"000 0 00": 25, "000 0 01": 75}])
    probabilities = probabilities_of(dataset)
    assert sum(p.value for p in probabilities.values()) == pytest.approx(1)
    assert probabilities["000 0 01"].value == 0.75
    assert probabilities["000 0 01"].error == pytest.approx((0.75 * 0.25 / 100) ** 0.5, rel=0.05)


def test_a_diagonal_expectation_counts_parities() -> None:
    measured = {"00": 50, "01": 30, "11": 20}
    assert diagonal_expectation(measured, {"IZ": 1.0})[0] == pytest.approx(0.0)
    assert diagonal_expectation(measured, {"ZI": 1.0})[0] == pytest.approx(0.6)
    assert diagonal_expectation(measured, {"ZZ": 1.0})[0] == pytest.approx(0.4)
    assert diagonal_expectation(measured, {"II": 2.0, "ZZ": -1.0})[0] == pytest.approx(1.6)


def test_terms_that_cancel_in_every_shot_leave_no_error() -> None:
    """Z on two bits that are always opposite: each varies, their sum does not."""
    value, error = diagonal_expectation({"01": 60, "10": 40}, {"IZ": 1.0, "ZI": 1.0})
    assert value == pytest.approx(0)
    assert error == pytest.approx(0)


def test_the_error_of_an_expectation_contains_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    chances = {"00": 0.4, "01": 0.3, "10": 0.2, "11": 0.1}
    terms = {"ZI": 0.5, "IZ": -1.0, "ZZ": 0.25}
    truth, _ = diagonal_expectation({k: round(p * 1000) for k, p in chances.items()}, terms)
    inside = 0
    for row in rng.multinomial(400, list(chances.values()), size=3000):
        value, error = diagonal_expectation(dict(zip(chances, map(int, row), strict=True)), terms)
        inside += abs(value - truth) <= error
    assert abs(inside / 3000 - ONE_SIGMA) < 0.045
