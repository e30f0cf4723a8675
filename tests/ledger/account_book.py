"""The account book as tests read it: the sums kept beside it must be those of its entries."""

from __future__ import annotations

from decimal import Decimal

from qpuflow.domain.principal import Principal, Role
from qpuflow.domain.quota import Allowance, Scope
from qpuflow.ledger import accounts, quotas
from qpuflow.ledger.database import Ledger
from tests.ledger.entities import scalar

OPERATOR = Principal("olga", "ops", frozenset({Role.USER, Role.OPERATOR}))
LAB = Scope("lab")
LAB_ON_RACK = Scope("lab", "rack")

ASTRAY = """
SELECT count(*) FROM allowances a WHERE (granted, reserved, charged) IS DISTINCT FROM (
    (SELECT coalesce(sum(amount), 0) FROM grants WHERE allowance_id = a.id),
    (SELECT coalesce(sum(amount), 0) FROM reservations WHERE allowance_id = a.id),
    (SELECT coalesce(sum(CASE WHEN a.unit = 'qpu-seconds' THEN c.seconds
        WHEN a.unit = 'credits' THEN c.credits WHEN a.unit = c.unit THEN c.cost END), 0)
        - a.charged_before FROM charges c
     WHERE c.project = a.project AND (a.qpu IS NULL OR c.qpu = a.qpu)))
"""
KEPT_BY_THE_DEAD = """
SELECT count(*) FROM reservations r JOIN jobs j ON j.id = r.job_id
WHERE j.finished_at IS NOT NULL
"""


async def open_lab(ledger: Ledger, *members: str) -> None:
    async with ledger.begin() as session:
        for member in members:
            await accounts.add_member(session, OPERATOR, "lab", member)


async def grant(ledger: Ledger, scope: Scope, amount: str) -> Allowance:
    async with ledger.begin() as session:
        return await quotas.grant(session, OPERATOR, scope, Decimal(amount))


async def revoke(ledger: Ledger, scope: Scope, amount: str) -> Allowance:
    async with ledger.begin() as session:
        return await quotas.revoke(session, OPERATOR, scope, Decimal(amount))


async def allowance(ledger: Ledger, scope: Scope) -> Allowance:
    async with ledger.begin() as session:
        found = await quotas.of_project(session, OPERATOR, scope.project)
    return next(one for one in found if one.scope == scope)


async def require_in_order(ledger: Ledger) -> None:
    assert await scalar(ledger, ASTRAY) == 0
    assert await scalar(ledger, KEPT_BY_THE_DEAD) == 0
