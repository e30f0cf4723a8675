"""What is decided about a job's price, case by case."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from pydantic import ValidationError

from qpuflow.domain.cost import (
    Approval,
    ApprovalState,
    CostLimit,
    CostRules,
    Verdict,
    check_limit,
    check_unit,
    decide_cost,
)
from qpuflow.domain.errors import InputError
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.max_cost import limit_of, most_in
from qpuflow.domain.request import JobOptions

TEN_HQC = Estimate(3.0, 10.0, "HQC")
MINUTE = Estimate(60.0)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def limit(unit: str, ask: int | None = None, refuse: int | None = None) -> CostLimit:
    ask_above, refuse_above = (None if one is None else Decimal(one) for one in (ask, refuse))
    return CostLimit(unit, ask_above, refuse_above)


def rules(
    *limits: CostLimit, budgets: tuple[str, ...] = (), own: str | None = None, **rates: str
) -> CostRules:
    named = {unit.replace("_", "-"): Decimal(rate) for unit, rate in rates.items()}
    return CostRules(named, limits, frozenset(budgets), None if own is None else limit_of(own))


def approval(amount: int, unit: str = "HQC") -> Approval:
    cost = Decimal(amount)
    return Approval(
        uuid4(), "lab", "alice", "h2", cost, unit, "", NOW, ApprovalState.APPROVED, cost, "olga",
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


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        ("10 HQC", Verdict.GO),
        ("9.99 hqc", Verdict.REFUSE),
        ("3 qpu-seconds", Verdict.GO),
        ("2.5s", Verdict.REFUSE),
        ("30 credits", Verdict.REFUSE),
        ("100 USD", Verdict.REFUSE),
    ],
)
def test_the_most_that_a_job_may_cost_by_its_user(most: str, expected: Verdict) -> None:
    assert verdict(TEN_HQC, rules(own=most, HQC="4")) is expected


def test_a_job_that_may_not_cost_so_much_is_told_why() -> None:
    for given, why in {
        "5 HQC": "about 10 HQC, more than the 5 HQC allowed",
        "5 USD": "Its max_cost is in USD, and this QPU counts in HQC, qpu-seconds",
        "5 credits": "qpuflow cost rate HQC",
    }.items():
        assert why in decide_cost(TEN_HQC, rules(own=given))[1].reason


def test_no_approval_is_above_what_the_user_gave() -> None:
    given = rules(limit("HQC", 1), own="5 HQC")
    assert verdict(TEN_HQC, given, approval(10)) is Verdict.REFUSE


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("20 hqc", "20 HQC"),
        ("1,250.50 usd", "1250.50 USD"),
        (" 2m30s ", "150 qpu-seconds"),
        ("90", "90 qpu-seconds"),
    ],
)
def test_a_cost_is_kept_in_the_same_words(given: str, kept: str) -> None:
    assert JobOptions(max_cost=given).max_cost == kept
    assert JobOptions(max_cost=kept).max_cost == kept


@pytest.mark.parametrize("given", ["", "HQC", "20 H QC", "-1 HQC", "0 HQC", "nan HQC", "20 HQ;C"])
def test_what_is_no_cost_is_refused(given: str) -> None:
    with pytest.raises(ValidationError):
        JobOptions(max_cost=given)


def test_a_vendor_is_told_the_less_of_what_both_allow() -> None:
    assert most_in("HQC", "20 HQC", 12.0) == 12
    assert most_in("HQC", "20 HQC", 30.0) == 20
    assert most_in("HQC", "20 HQC", None) == 20
    assert most_in("HQC", "20 USD", None) is None
    assert most_in("HQC", None, 12.0) == 12


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
