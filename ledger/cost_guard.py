"""What jobs would cost, judged before they are handed over and noted beside what they did.

Who changes the account book holds it until the commit: it comes last here, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.cost import (
    Approval,
    ApprovalState,
    CostLimit,
    CostRules,
    Decision,
    Price,
    Verdict,
    asked_amount,
    decide_cost,
    price_of,
)
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.job import JobState
from qpuflow.domain.quota import QPU_SECONDS, Scope
from qpuflow.ledger import reservations
from qpuflow.ledger.schema import ApprovalRow, JobRow

# One round trip. A QPU's own rate comes after that of all, and replaces it.
_RULES = text(
    """
    SELECT 'rate' AS kind, unit, credits AS a, NULL::numeric AS b, qpu IS NOT NULL AS is_own
    FROM credit_rates WHERE qpu IS NULL OR qpu = :qpu
    UNION ALL
    SELECT 'limit', unit, ask_above, refuse_above, false FROM cost_limits
    WHERE (project IS NULL OR project = :project) AND (qpu IS NULL OR qpu = :qpu)
    UNION ALL
    SELECT DISTINCT 'budget', unit, NULL::numeric, NULL::numeric, false FROM allowances
    WHERE project = :project AND (qpu IS NULL OR qpu = :qpu) AND unit <> :seconds
    ORDER BY is_own
    """
)
_NOTE = text("UPDATE jobs SET estimate_cost = :cost, cost_unit = :unit WHERE id = :job")


async def rules(session: AsyncSession, scope: Scope) -> CostRules:
    """What counts for jobs of the project on the QPU."""
    values = {"project": scope.project, "qpu": scope.qpu, "seconds": QPU_SECONDS}
    rows = (await session.execute(_RULES, values)).all()
    return CostRules(
        {row.unit: row.a for row in rows if row.kind == "rate"},
        [CostLimit(row.unit, row.a, row.b) for row in rows if row.kind == "limit"],
        frozenset(row.unit for row in rows if row.kind == "budget"),
    )


async def judge(
    session: AsyncSession,
    scope: Scope,
    given: CostRules,
    estimates: Mapping[UUID, Estimate],
    own: Mapping[UUID, CostLimit],
) -> dict[UUID, Decision]:
    """Note what the PREPARING jobs would cost, reserve it of budgets, and ask operators.

    `own`: limits that jobs brought with them. Returns what was decided about each that may not be
    handed over now.
    """
    approved = await _approvals(session, estimates) if given.limits else {}
    judged = {
        job_id: decide_cost(
            estimates[job_id], replace(given, own=own.get(job_id)), approved.get(job_id)
        )
        for job_id in sorted(estimates)
    }
    prices = {job_id: price for job_id, (price, _) in judged.items()}
    stopped = {job: found for job, (_, found) in judged.items() if found.verdict is not Verdict.GO}
    await _note(session, prices)
    asked = [job_id for job_id, found in stopped.items() if found.verdict is Verdict.ASK]
    await _ask(session, {job: (estimates[job], prices[job], stopped[job].reason) for job in asked})
    wanted = {job: prices[job] for job in prices if job not in stopped or job in asked}
    return stopped | await _reserve(session, scope, given, wanted)


async def _note(session: AsyncSession, prices: Mapping[UUID, Price]) -> None:
    rows = [
        {"job": job_id, "cost": price.amount, "unit": price.unit}
        for job_id, price in prices.items()
        if price.unit != QPU_SECONDS
    ]
    if rows:
        await (await session.connection()).execute(_NOTE, rows)


async def _ask(session: AsyncSession, asked: Mapping[UUID, tuple[Estimate, Price, str]]) -> None:
    """Anew where an earlier answer is not enough any more."""
    if not asked:
        return
    statement = insert(ApprovalRow).values(
        [
            {"job_id": job, "amount": asked_amount(estimate, price), "unit": price.unit, "why": why}
            for job, (estimate, price, why) in asked.items()
        ]
    )
    new = {name: statement.excluded[name] for name in ("amount", "unit", "why")}
    unanswered = dict.fromkeys(("approved", "decided_by", "decided_at", "answer"))
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["job_id"],
            set_={
                **new,
                **unanswered,
                "state": ApprovalState.PENDING.value,
                "asked_at": func.now(),
            },
        )
    )


async def _reserve(
    session: AsyncSession, scope: Scope, given: CostRules, prices: Mapping[UUID, Price]
) -> dict[UUID, Decision]:
    refused: dict[UUID, Decision] = {}
    for unit in sorted(given.budgets):
        amounts = {
            job_id: price.by_unit[unit]
            for job_id, price in prices.items()
            if unit in price.by_unit and job_id not in refused
        }
        found = await reservations.adjust(session, replace(scope, unit=unit), amounts)
        refused |= {job: Decision(Verdict.REFUSE, str(error)) for job, error in found.items()}
    return refused


async def charged(
    session: AsyncSession, scope: Scope, used: Mapping[UUID, tuple[float, float, str]]
) -> dict[UUID, tuple[Decimal | None, Price]]:
    """What was expected of each job, and what its seconds, cost and unit come to."""
    rates = (await rules(session, scope)).rates
    found = await session.execute(
        select(JobRow.id, JobRow.estimate_cost).where(JobRow.id.in_(used))
    )
    return {job: (expected, price_of(*used[job], rates)) for job, expected in found.tuples()}


async def _approvals(session: AsyncSession, job_ids: Collection[UUID]) -> dict[UUID, Approval]:
    rows = await session.execute(
        select(ApprovalRow, JobRow)
        .join(JobRow, JobRow.id == ApprovalRow.job_id)
        .where(ApprovalRow.job_id.in_(job_ids), ApprovalRow.state == ApprovalState.APPROVED.value)
    )
    return {row.job_id: approval_of(row, job) for row, job in rows.tuples()}


def approval_of(row: ApprovalRow, job: JobRow) -> Approval:
    known: dict[str, Any] = {
        name: getattr(row, name)
        for name in (
            *("job_id", "amount", "unit", "why", "asked_at", "approved"),
            *("decided_by", "decided_at", "answer"),
        )
    }
    state = ApprovalState(row.state)
    if state is ApprovalState.PENDING and JobState(job.state).is_final:
        state = ApprovalState.WITHDRAWN
    return Approval(
        **known,
        project=job.project,
        user=job.user,
        qpu=job.qpu,
        state=state,
    )
