"""What is left of carriers that ended without finishing: who is silent, and whose jobs wait."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.job import JobState
from qpuflow.ledger.schema import Carrier, CarrierState

ASK_AGAIN_SECONDS = 15.0
"""After which a QPU is asked again what became of an ambiguous job, doubled with each carrier."""
ASK_AGAIN_AT_LEAST_EVERY_SECONDS = 3600.0

# Unfinished in the words of the index of those: all jobs that ever were are many.
_ORPHANED = text(
    """
    SELECT j.batch_id FROM jobs j JOIN carriers c ON c.batch_id = j.batch_id
    WHERE j.state NOT IN ('completed', 'failed', 'cancelled') AND j.state <> 'unapproved'
    GROUP BY j.batch_id
    HAVING bool_and(c.state NOT IN ('live', 'pending'))
        AND (bool_or(j.state <> 'ambiguous' AND (j.state <> 'waiting' OR j.carriers_lost < :many))
            OR max(j.cancel_requested_at) > max(c.created_at)
            OR max(c.created_at) < now() - make_interval(
            secs => least(:longest, :first * 2 ^ least(max(c.number), 20))))
    """
)


async def orphaned(session: AsyncSession, max_lost: int) -> list[UUID]:
    """Batches with unfinished jobs and no carrier: their last one ended without finishing.

    Those with ambiguous jobs only, or with jobs at their QPU that have lost `max_lost` carriers,
    have it asked ever more seldom, and those about whose cost an operator is asked have nothing
    to be carried for.
    """
    seconds = {"first": ASK_AGAIN_SECONDS, "longest": ASK_AGAIN_AT_LEAST_EVERY_SECONDS}
    return list(await session.scalars(_ORPHANED, {**seconds, "many": max_lost}))


async def silent(session: AsyncSession, seconds: float) -> set[UUID]:
    """Live carriers that have begun and not been heard of for so long."""
    limit = func.now() - text("make_interval(secs => :seconds)").bindparams(seconds=seconds)
    return set(
        await session.scalars(
            select(Carrier.id).where(
                Carrier.state == CarrierState.LIVE.value, Carrier.heartbeat_at < limit
            )
        )
    )


_ENDED = text(
    """
    SELECT c.flow_run_id, array_agg(DISTINCT j.state), max(j.reason)
    FROM carriers c JOIN jobs j ON j.batch_id = c.batch_id
    WHERE c.flow_run_id = ANY(:runs)
    GROUP BY c.flow_run_id
    HAVING bool_and(c.state NOT IN ('live', 'pending'))
        AND bool_and(j.state IN ('completed', 'failed', 'cancelled'))
    """
)


async def ended_in(
    session: AsyncSession, flow_runs: Collection[UUID]
) -> dict[UUID, tuple[JobState, str]]:
    """Those of the runs that carry nothing any more and whose jobs have all ended: how, and why.

    Where they ended differently it is COMPLETED, as of a run that has done what it was to do.
    """
    found = await session.execute(_ENDED, {"runs": list(flow_runs)})
    return {
        run: (JobState(states[0]) if len(states) == 1 else JobState.COMPLETED, reason or "")
        for run, states, reason in found.tuples()
    }
