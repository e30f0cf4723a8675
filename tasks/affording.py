"""Whether the project can afford its jobs: the last look before anything is handed over."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from qpuflow.domain.cost import CostLimit, CostRules, Decision, Verdict
from qpuflow.domain.errors import Unavailable
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.job import JobState
from qpuflow.domain.max_cost import limit_of
from qpuflow.domain.quota import Scope
from qpuflow.ledger import cost_guard, live, reservations
from qpuflow.tasks.work import Carrying, Chunk

ENDS = {Verdict.ASK: JobState.UNAPPROVED, Verdict.REFUSE: JobState.FAILED}


async def affordable(chunk: Chunk, estimates: Mapping[UUID, Estimate | Exception]) -> Chunk:
    """Jobs that need more time or money than they may have end here, or wait for an operator.

    A job whose driver could not say what it takes goes on with what was guessed, unless its cost
    is limited. Raises `Unavailable` when that is so and the driver may answer later.
    """
    known = {job: one for job, one in estimates.items() if isinstance(one, Estimate)}
    longer = {
        work.job.id: known[work.job.id].seconds
        for work in chunk.active
        if work.job.id in known and known[work.job.id].seconds > work.job.estimate_seconds
    }
    carrying = chunk.carrying
    if not longer and not carrying.qpu.device.outside_effects:
        return chunk
    scope = Scope(chunk.active[0].job.project, carrying.qpu.name)
    async with carrying.ledger.begin() as session:
        await live.require_live(session, carrying.carrier_id)
        decided: dict[UUID, Decision] = {}
        if carrying.qpu.device.outside_effects:
            rules = await cost_guard.rules(session, scope)
            own = _own_limits(chunk)
            decided |= _without_price(carrying, estimates, rules, own)
            decided |= await cost_guard.judge(session, scope, rules, known, own)
        refused = await reservations.adjust(session, scope, longer)
    decided |= {job: Decision(Verdict.REFUSE, str(error)) for job, error in refused.items()}
    return chunk.updated(
        work.ended(ENDS[decided[work.job.id].verdict], decided[work.job.id].reason)
        for work in chunk.active
        if work.job.id in decided
    )


def _own_limits(chunk: Chunk) -> dict[UUID, CostLimit]:
    given = {work.job.id: work.job.options.max_cost for work in chunk.active}
    return {job: limit_of(most) for job, most in given.items() if most is not None}


def _without_price(
    carrying: Carrying,
    estimates: Mapping[UUID, Estimate | Exception],
    rules: CostRules,
    own: Collection[UUID],
) -> dict[UUID, Decision]:
    failures = {
        job: one
        for job, one in estimates.items()
        if isinstance(one, Exception) and (rules.limits or rules.budgets or job in own)
    }
    for error in failures.values():
        if isinstance(error, Unavailable):
            raise Unavailable(
                f"What jobs on {carrying.qpu.name} cost is limited, and cannot be told now: {error}"
            ) from error
    return {
        job: Decision(Verdict.REFUSE, f"What it would cost cannot be told: {error}")
        for job, error in failures.items()
    }
