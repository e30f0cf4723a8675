"""What a project may use: allowances, the requests for more, and what refuses a job.

Amounts are decimals with six places, so that a balance is exact to the microsecond.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from uuid import UUID

from qpuflow.domain.errors import InputError
from qpuflow.domain.moments import read_duration

QPU_SECONDS = "qpu-seconds"
"""The unit of time on a QPU. Others are a vendor's own, in which it charges."""
MOST = Decimal(10**9)
"""Of one amount: thirty years."""
_PLACES = Decimal("0.000001")


class QuotaExceeded(InputError):
    """The project has less left than the job asks for."""


class RequestState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Scope:
    """What an allowance is for. Without a QPU: the project's use of all of them together."""

    project: str
    qpu: str | None = None
    unit: str = QPU_SECONDS

    def __str__(self) -> str:
        unit = "" if self.unit == QPU_SECONDS else f" in {self.unit}"
        return f"{self.project} on {self.qpu or 'all QPUs'}{unit}"


@dataclass(frozen=True, slots=True)
class Allowance:
    """`reserved` is kept for jobs that were accepted and have not ended."""

    scope: Scope
    granted: Decimal
    charged: Decimal
    reserved: Decimal

    @property
    def balance(self) -> Decimal:
        """Below zero when jobs took longer than was expected of them."""
        return self.granted - self.charged

    @property
    def available(self) -> Decimal:
        return self.balance - self.reserved


@dataclass(frozen=True, slots=True)
class Grant:
    """Given to an allowance by an operator or, if negative, taken back."""

    amount: Decimal
    granted_by: str
    note: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class QuotaRequest:
    """A member's wish for more, and what an operator answered."""

    id: UUID
    scope: Scope
    amount: Decimal
    reason: str
    requested_by: str
    created_at: datetime
    state: RequestState
    granted: Decimal | None
    decided_by: str | None
    decided_at: datetime | None
    answer: str | None


def exact(amount: float | Decimal) -> Decimal:
    """The decimal that is reserved for an estimate; an estimate that is none is zero."""
    return min(Decimal(max(0, amount)), MOST).quantize(_PLACES)


def amount_of(
    given: Decimal | int | str, unit: str = QPU_SECONDS, *, may_be_none: bool = False
) -> Decimal:
    """Seconds from a number or from text such as `90`, `90s`, `1.5h` or `2h30m`.

    Of any other unit a number, as `Decimal`, `int` or text.
    """
    if isinstance(given, str) and unit != QPU_SECONDS:
        given = _number(given)
    elif isinstance(given, str):
        text = given.strip()
        duration = read_duration(f"{text}s" if text[-1:].isdigit() else text)
        given = Decimal(duration // timedelta(microseconds=1)) / 10**6
    amount = Decimal(given)
    if amount or not may_be_none:
        check_amount(amount)
    return amount


_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?")
"""1,250.50; not 12,50, which is twelve and a half to some and would be 1250."""


def _number(text: str) -> Decimal:
    plain = text.strip()
    if _THOUSANDS.fullmatch(plain):
        plain = plain.replace(",", "")
    try:
        return Decimal(plain)
    except InvalidOperation as error:
        raise InputError(f"{text!r} is no amount", remedy="Give a number, as 12.5.") from error


def check_amount(amount: Decimal) -> None:
    """Raises `InputError` unless it is above zero and exact."""
    if not (amount.is_finite() and 0 < amount <= MOST and amount == amount.quantize(_PLACES)):
        raise InputError(
            f"{amount} is no amount of QPU time or money",
            remedy="Give a number above zero with up to six decimals; of time, also as 2h30m.",
        )


def exceeded(allowances: Sequence[Allowance], asked: Decimal) -> QuotaExceeded:
    """The refusal of a job that asks for more than the tightest of its allowances has."""
    least = min(allowances, key=lambda one: one.available)
    scope = least.scope
    place = f" --qpu {scope.qpu}" if scope.qpu else ""
    place += f" --unit {scope.unit}" if scope.unit != QPU_SECONDS else ""
    missing = shown(asked - max(least.available, Decimal(0))).replace(",", "")
    left, wanted, granted, charged, reserved = (
        measure(amount, scope.unit)
        for amount in (
            max(least.available, Decimal(0)),
            asked,
            least.granted,
            least.charged,
            least.reserved,
        )
    )
    return QuotaExceeded(
        f"Project {scope.project!r} has {left} left on {scope.qpu or 'all QPUs'}, and the job asks "
        f"for {wanted}: {granted} granted, {charged} used, {reserved} reserved by jobs that have "
        "not ended",
        remedy="Use fewer shots, wait for jobs to end, or ask for more: `qpuflow --project "
        f"{scope.project} quota request {missing}{place} --reason WHY`.",
    )


def measure(amount: Decimal, unit: str) -> str:
    """As a person reads it: 4.5 s, 120 HQC."""
    return f"{shown(amount)} {'s' if unit == QPU_SECONDS else unit}"


def shown(amount: Decimal) -> str:
    """All digits that are not trailing zeros: 1,234.5."""
    text = f"{amount:,.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
