"""What a job may cost, and what an operator is asked about before it is handed over.

Money is counted in the vendor's own unit (USD, HQC) and in *credits*, which are what the
installation's rates make of every unit, so that one number covers all vendors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from qpuflow.domain.errors import InputError
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.quota import QPU_SECONDS, exact, measure

CREDITS = "credits"
"""The unit that belongs to no vendor."""
UNITS = (QPU_SECONDS, CREDITS, "USD", "HQC")
"""Those that are known, as they are written."""
MOST_UNIT_LETTERS = 20


@dataclass(frozen=True, slots=True)
class Rate:
    """How many credits one of a unit is, on one QPU or on all that have no rate of their own."""

    unit: str
    credits: Decimal
    qpu: str | None = None


@dataclass(frozen=True, slots=True)
class CostLimit:
    """For one job. Without a project or a QPU: of all.

    Above `ask_above` an operator is asked, above `refuse_above` the job fails. Of several that
    apply to a job each one counts.
    """

    unit: str
    ask_above: Decimal | None
    refuse_above: Decimal | None
    project: str | None = None
    qpu: str | None = None


class ApprovalState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    """The job ended before anybody answered."""


@dataclass(frozen=True, slots=True)
class Approval:
    """An operator is asked whether a job may cost so much, and what they answered."""

    job_id: UUID
    project: str
    user: str
    qpu: str
    amount: Decimal
    unit: str
    why: str
    asked_at: datetime
    state: ApprovalState
    approved: Decimal | None
    """The job may cost so much. Never less than what was asked for."""
    decided_by: str | None
    decided_at: datetime | None
    answer: str | None


@dataclass(frozen=True, slots=True)
class Price:
    """What a job is expected to cost, or did; `amount` zero where nobody charges but for time.

    `credits` is None where the unit has no rate.
    """

    amount: Decimal
    unit: str
    credits: Decimal | None

    @property
    def by_unit(self) -> Mapping[str, Decimal]:
        """What counts against budgets; QPU seconds do by themselves."""
        known = {CREDITS: self.credits} if self.credits is not None else {}
        return known if self.unit == QPU_SECONDS else {self.unit: self.amount, **known}


@dataclass(frozen=True, slots=True)
class CostRules:
    """All that decides about the cost of jobs of one project on one QPU."""

    rates: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    """Credits by unit."""
    limits: Sequence[CostLimit] = ()
    budgets: frozenset[str] = frozenset()
    """Units in which the project has a budget."""
    own: CostLimit | None = None
    """What the job's user gave it as the most that it may cost."""


class Verdict(StrEnum):
    GO = "go"
    ASK = "ask"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Decision:
    verdict: Verdict
    reason: str = ""


GO = Decision(Verdict.GO)


def price_of(seconds: float, cost: float, unit: str, rates: Mapping[str, Decimal]) -> Price:
    """QPU time without a rate is free of credits: not every rack has a price."""
    if unit == QPU_SECONDS:
        rate = rates.get(unit, Decimal(0))
        return Price(Decimal(0), unit, exact(exact(seconds) * rate))
    amount, rate = exact(cost), rates.get(unit)
    return Price(amount, unit, None if rate is None else exact(amount * rate))


def decide_cost(
    estimate: Estimate, rules: CostRules, approval: Approval | None = None
) -> tuple[Price, Decision]:
    """What the job would cost, and whether it may be handed over as far as single jobs go.

    Budgets are not looked at: who reserves of them finds out. An operator's approval counts for
    what the job cost when they were asked, and never above a limit that refuses.
    """
    price = price_of(estimate.seconds, estimate.cost, estimate.unit, rules.rates)
    amounts = {QPU_SECONDS: exact(estimate.seconds), **price.by_unit}
    if price.credits is None and (why := _needs_credits(rules, price.unit)):
        return price, Decision(Verdict.REFUSE, why)
    if why := _refused(amounts, rules):
        return price, Decision(Verdict.REFUSE, why)
    if _is_approved(amounts, price, approval):
        return price, GO
    for limit in rules.limits:
        amount = amounts.get(limit.unit, Decimal(0))
        if limit.ask_above is not None and amount > limit.ask_above:
            asks = _above(amount, limit.ask_above, limit.unit)
            return price, Decision(Verdict.ASK, f"{asks} without an operator's approval")
    return price, GO


def _refused(amounts: Mapping[str, Decimal], rules: CostRules) -> str | None:
    if rules.own is not None and rules.own.unit not in amounts:
        units = ", ".join(sorted(amounts))
        return f"Its max_cost is in {rules.own.unit}, and this QPU counts in {units}"
    for limit in (*rules.limits, *filter(None, [rules.own])):
        amount = amounts.get(limit.unit, Decimal(0))
        if limit.refuse_above is not None and amount > limit.refuse_above:
            return _above(amount, limit.refuse_above, limit.unit)
    return None


def asked_amount(estimate: Estimate, price: Price) -> Decimal:
    """In which the operator is asked: the vendor's unit, or seconds where there is none."""
    return exact(estimate.seconds) if price.unit == QPU_SECONDS else price.amount


def _is_approved(amounts: Mapping[str, Decimal], price: Price, approval: Approval | None) -> bool:
    if approval is None or approval.approved is None or approval.unit != price.unit:
        return False
    return amounts[price.unit] <= approval.approved


def _needs_credits(rules: CostRules, unit: str) -> str | None:
    limits = (*rules.limits, *filter(None, [rules.own]))
    limited = {limit.unit for limit in limits} | rules.budgets
    if CREDITS not in limited:
        return None
    return (
        f"Nobody has said how many credits one {unit} is, and credits are limited here; an "
        f"operator says it with `qpuflow cost rate {unit} CREDITS`"
    )


def _above(amount: Decimal, limit: Decimal, unit: str) -> str:
    return (
        f"The job would cost about {measure(amount, unit)}, more than the {measure(limit, unit)} "
        "allowed for one job"
    )


def check_unit(unit: str) -> str:
    """The name that it is charged under: `usd` is USD.

    Raises `InputError` for what nobody charges in.
    """
    name = unit.strip()
    if not name or len(name) > MOST_UNIT_LETTERS or not all(c.isalnum() or c == "-" for c in name):
        raise InputError(
            f"{unit!r} is no unit",
            remedy=f"Use {QPU_SECONDS}, {CREDITS}, or a vendor's, as USD and HQC.",
        )
    return next((one for one in UNITS if one.lower() == name.lower()), name)


def check_limit(ask_above: Decimal | None, refuse_above: Decimal | None) -> None:
    if ask_above is None and refuse_above is None:
        raise InputError("A limit needs an amount", remedy="Give --ask-above or --refuse-above.")
    if ask_above is not None and refuse_above is not None and ask_above > refuse_above:
        raise InputError("Above the amount that is refused nobody is asked")
