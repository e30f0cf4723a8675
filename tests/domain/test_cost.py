"""What is decided about a job's price, case by case."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest

from qpuflow.domain.cost import (
    Approval,
    CostLimit,
    CostRules,
    Verdict,
    check_limit,
    check_unit,
    decide_cost,
)
from qpuflow.domain.errors import InputError
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.quota import RequestState

TEN_HQC = Estimate(3.0, 10.0, "HQC")
MINUTE = Estimate(60.0)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def limit(unit: str, ask: int | None = None, refuse: int | None = None) -> CostLimit:
    ask_above, refuse_above = (None if one is None else Decimal(one) for one in (ask, refuse))
    return CostLimit(unit, ask_above, refuse_above)


def rules(*limits: CostLimit, budgets: tuple[str, ...] = (), **rates: str) -> CostRules:
    named = {unit.replace("_", "-"): Decimal(rate) for unit, rate in rates.items()}
    return CostRules(named, limits, frozenset(budgets))


def approval(amount: int, unit: str = "HQC") -> Approval:
    cost = Decimal(amount)
    return Approval(
        uuid4(), "lab", "alice", "h2", cost, unit, "", NOW, RequestState.APPROVED, cost, "olga",
        NOW, None,
    )  # fmt: skip


def verdict(estimate: Estimate, given: CostRules, approved: Approval | None = None) -> Verdict:
    return decide_cost(estimate, given, approved)[1].verdict


def test_without_limits_everything_goes() -> None:
    assert verdict(TEN_HQC, rules()) is Verdict.GO


@pytest.mark.parametrize(
    ("ask", "refuse", "expected"),
    [
        (10, None, Verdict.GO),
        (9, None, Verdict.ASK),
        (9, 10, Verdict.ASK),
        (5, 9, Verdict.REFUSE),
        (None, 9, Verdict.REFUSE),
        (0, None, Verdict.ASK),
    ],
)
def test_a_limit_in_the_vendors_unit(
    ask: int | None, refuse: int | None, expected: Verdict
) -> None:
    assert verdict(TEN_HQC, rules(limit("HQC", ask, refuse))) is expected


def test_a_limit_in_another_vendors_unit_does_not_count() -> None:
    assert verdict(TEN_HQC, rules(limit("USD", 0, 0))) is Verdict.GO


def test_of_several_limits_the_strictest_counts() -> None:
    given = rules(limit("HQC", 100), limit("HQC", 1, 50), limit("credits", None, 30), HQC="4")
    price, decision = decide_cost(TEN_HQC, given)
    assert price.credits == 40
    assert decision.verdict is Verdict.REFUSE
    assert "about 40 credits, more than the 30 credits allowed" in decision.reason


def test_a_unit_without_a_rate_is_refused_where_credits_are_limited() -> None:
    for given in (rules(limit("credits", 100)), rules(budgets=("credits",))):
        price, decision = decide_cost(TEN_HQC, given)
        assert (price.credits, decision.verdict) == (None, Verdict.REFUSE)
        assert "qpuflow cost rate HQC" in decision.reason


def test_time_without_a_rate_is_free_and_with_one_it_counts() -> None:
    given = limit("credits", 50)
    assert verdict(MINUTE, rules(given)) is Verdict.GO
    assert verdict(MINUTE, rules(given, qpu_seconds="1.6")) is Verdict.ASK
    assert verdict(MINUTE, rules(limit("qpu-seconds", None, 59))) is Verdict.REFUSE


def test_an_approval_counts_up_to_its_amount_and_never_above_what_is_refused() -> None:
    asks = rules(limit("HQC", 1))
    assert verdict(TEN_HQC, asks, approval(10)) is Verdict.GO
    assert verdict(TEN_HQC, asks, approval(9)) is Verdict.ASK
    assert verdict(TEN_HQC, asks, approval(1000, "USD")) is Verdict.ASK
    assert verdict(TEN_HQC, rules(limit("HQC", 1, 5)), approval(10)) is Verdict.REFUSE
    assert verdict(MINUTE, rules(limit("qpu-seconds", 1)), approval(60, "qpu-seconds")) is (
        Verdict.GO
    )


def test_what_counts_against_which_budget() -> None:
    price, _ = decide_cost(TEN_HQC, rules(HQC="0.5"))
    assert price.by_unit == {"HQC": Decimal(10), "credits": Decimal(5)}
    timed, _ = decide_cost(MINUTE, rules(qpu_seconds="0.5"))
    assert timed.by_unit == {"credits": Decimal(30)}


@pytest.mark.parametrize("unit", ["", "US D", "x" * 21, "HQC;"])
def test_what_is_no_unit_is_refused(unit: str) -> None:
    with pytest.raises(InputError, match="is no unit"):
        check_unit(unit)


def test_a_limit_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError, match="needs an amount"):
        check_limit(None, None)
    with pytest.raises(InputError, match="nobody is asked"):
        check_limit(Decimal(2), Decimal(1))
