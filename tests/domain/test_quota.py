"""Amounts of QPU time as people write and read them, and the guess of what a job takes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpuflow.domain.device import Pace
from qpuflow.domain.errors import InputError
from qpuflow.domain.estimate import guess
from qpuflow.domain.parsing import parse
from qpuflow.domain.quota import MOST, amount_of, exact, shown
from qpuflow.domain.request import JobRequest, Program

CHAIN = 'OPENQASM 3.0; include "stdgates.inc"; qubit q; bit c; {gates} c = measure q;'


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", "90"),
        (" 0.000001 ", "0.000001"),
        ("90s", "90"),
        ("1.5h", "5400"),
        ("2h30m", "9000"),
        ("1w", "604800"),
    ],
)
def test_an_amount_is_seconds_or_a_duration(text: str, seconds: str) -> None:
    assert amount_of(text) == Decimal(seconds)


@pytest.mark.parametrize(
    "text", ["", "h", "0", "-1", "1 h", "1e3", "0.0000001", "nan", "+", "99999w", "9" * 400]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        amount_of(text)


def test_commas_part_thousands_and_nothing_else() -> None:
    assert amount_of("1,250.5", "USD") == Decimal("1250.5")
    for ambiguous in ("12,50", "1,5", "1,2500"):
        with pytest.raises(InputError):
            amount_of(ambiguous, "USD")


@given(st.decimals("0.000001", MOST, places=6))
def test_what_is_shown_is_read_as_the_same_amount(amount: Decimal) -> None:
    assert Decimal(shown(amount).replace(",", "")) == amount == amount_of(amount)


@given(st.floats())
def test_whatever_a_driver_estimates_can_be_booked(seconds: float) -> None:
    booked = exact(seconds)
    assert 0 <= booked <= MOST
    assert booked == booked.quantize(Decimal("0.000001"))


def guessed(gates: str = "h q;", shots: int = 100, points: int = 1) -> float:
    source = CHAIN.format(gates=gates)
    parameters = [{"a": 0.1}] * points if "a)" in gates else []
    if parameters:
        source = source.replace("qubit q", "input float a; qubit q")
    request = JobRequest(programs=[Program(source=source, parameters=parameters)], shots=shots)
    pace = Pace(job_seconds=1.0, circuit_seconds=0.1, shot_seconds=1e-3, layer_seconds=1e-4)
    return guess(request, [parse(one) for one in request.programs], pace).seconds


def test_a_guess_counts_shots_layers_and_points() -> None:
    """One layer more for the measurement."""
    assert guessed() == pytest.approx(1 + 0.1 + 100 * (1e-3 + 2e-4))
    assert guessed(shots=200) == pytest.approx(1 + 0.1 + 200 * (1e-3 + 2e-4))
    assert guessed("h q;" * 9) == pytest.approx(1 + 0.1 + 100 * (1e-3 + 10e-4))
    assert guessed("rx(a) q;", points=3) == pytest.approx(1 + 3 * (0.1 + 100 * (1e-3 + 2e-4)))
