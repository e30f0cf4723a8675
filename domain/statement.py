"""A project's statement of account over a period: what it was given, what it used, and who did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from qpuflow.domain.errors import InputError
from qpuflow.domain.quota import Grant, Scope


@dataclass(frozen=True, slots=True)
class AllowanceLine:
    """One allowance: opening + granted - charged = closing, to the last digit.

    `reserved` is kept at the moment for jobs that have not ended. `free` was used in the period
    before the allowance was there: what the lines of usage say = charged + free.
    """

    scope: Scope
    opening: Decimal
    granted: Decimal
    charged: Decimal
    closing: Decimal
    reserved: Decimal
    free: Decimal
    grants: Sequence[Grant]


@dataclass(frozen=True, slots=True)
class UsageLine:
    """QPU time that one user used on one QPU, and what is kept for their open jobs."""

    user: str
    qpu: str
    jobs: int
    seconds: Decimal
    reserved: Decimal


@dataclass(frozen=True, slots=True)
class CostLine:
    """What one user's jobs cost on one QPU in the vendor's unit, and what was expected of them.

    `credits` by the rates of the moments at which they were charged.
    """

    user: str
    qpu: str
    unit: str
    jobs: int
    cost: Decimal
    estimated: Decimal
    credits: Decimal


@dataclass(frozen=True, slots=True)
class Statement:
    """Of what was settled in `[starts_at, ends_at)`, as of `made_at`."""

    project: str
    starts_at: datetime
    ends_at: datetime
    made_at: datetime
    allowances: Sequence[AllowanceLine]
    usage: Sequence[UsageLine]
    costs: Sequence[CostLine] = ()

    @property
    def seconds(self) -> Decimal:
        return sum((line.seconds for line in self.usage), Decimal(0))


def check_period(starts_at: datetime, ends_at: datetime) -> None:
    if starts_at >= ends_at:
        raise InputError(f"A statement from {starts_at} to {ends_at} has nothing in it")
