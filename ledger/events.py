"""The append-only history of every job, and the one way to change a job's state."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import TextClause, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.job import IllegalTransition, JobState, sources_of
from qpuflow.domain.principal import Principal
from qpuflow.ledger import reservations
from qpuflow.ledger.schema import JobRow
from qpuflow.ledger.signals import Channel

# As text: SQLAlchemy takes a millisecond to build it, which each step of each job would pay.
MOVE = """
WITH before AS (
    SELECT id, state FROM jobs WHERE id = ANY(:jobs) AND state = ANY(:sources)
    ORDER BY id FOR UPDATE
), moved AS (
    UPDATE jobs SET state = CAST(:to AS text), reason = CAST(:reason AS text){moments}
    FROM before WHERE jobs.id = before.id
    RETURNING jobs.id, jobs."user", before.state AS from_state
), written AS (
    INSERT INTO job_events (job_id, actor, via, from_state, to_state, detail)
    SELECT id, :actor, :via, from_state, CAST(:to AS text), CAST(:reason AS text) FROM moved
)
SELECT id{told} FROM moved
"""
TOLD = """, (
    SELECT count(pg_notify(:channel, one."user")) FROM (SELECT DISTINCT "user" FROM moved) one
)"""


def _statement(to: JobState) -> TextClause:
    told = TOLD if to.is_final else ""
    return text(MOVE.format(moments="".join(f", {one}" for one in _moments(to)), told=told))


def _moments(to: JobState) -> list[str]:
    match to:
        case JobState.QUEUED:
            return ["finished_at = NULL", "asks_since = NULL"]
        case JobState.RUNNING:
            return ["asks_since = NULL"]
        case JobState.PREPARING:
            return ["started_at = coalesce(started_at, now())"]
        case _ if to.is_final:
            return ["finished_at = now()", "asks_since = NULL"]
        case _:
            return []


_MOVES = {state: _statement(state) for state in JobState}


async def move(
    session: AsyncSession,
    principal: Principal,
    job_ids: Collection[UUID],
    to: JobState,
    *,
    reason: str | None = None,
    sources: Collection[JobState] | None = None,
) -> set[UUID]:
    """Move those of the jobs that may make the transition, and write an event for each.

    Returns the jobs that moved. One statement, so that state and history cannot disagree. Jobs
    that end give back what they kept of their project's quota.

    `sources` narrows the states to move from.
    """
    if not job_ids:
        return set()
    allowed = sources_of(to) if sources is None else sources_of(to) & frozenset(sources)
    values = {
        "jobs": list(job_ids),
        "sources": [state.value for state in allowed],
        "to": to.value,
        "reason": reason,
        "actor": principal.user,
        "via": principal.via,
    }
    if not to.is_final:
        return set(await session.scalars(_MOVES[to], values))
    done = set(await session.scalars(_MOVES[to], {**values, "channel": Channel.ENDED.value}))
    if done:
        await reservations.give_back(session, done)
    return done


async def require_move(
    session: AsyncSession,
    principal: Principal,
    job_ids: Collection[UUID],
    to: JobState,
    *,
    reason: str | None = None,
) -> None:
    """As `move`, but every job must be in a state that allows it."""
    missing = set(job_ids) - await move(session, principal, job_ids, to, reason=reason)
    if missing:
        states = await session.execute(
            select(JobRow.id, JobRow.state).where(JobRow.id.in_(missing))
        )
        rows = ", ".join(f"{job} is {state}" for job, state in states.tuples())
        raise IllegalTransition(f"Cannot become {to.value}: {rows or 'no such job'}")
