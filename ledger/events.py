"""The append-only history of every job, and the one way to change a job's state."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Text, bindparam, cast, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.job import IllegalTransition, JobState, sources_of
from qpuflow.domain.principal import Principal
from qpuflow.ledger import reservations
from qpuflow.ledger.schema import JobEvent, JobRow
from qpuflow.ledger.signals import Channel


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
    before = (
        select(JobRow.id, JobRow.state)
        .where(JobRow.id.in_(job_ids), JobRow.state.in_([state.value for state in allowed]))
        .order_by(JobRow.id)
        .with_for_update()
        .cte("before")
    )
    moved = (
        update(JobRow)
        .where(JobRow.id == before.c.id)
        .values(state=to.value, reason=reason, **_moments(to))
        .returning(JobRow.id, before.c.state.label("from_state"))
        .cte("moved")
    )
    event = select(
        moved.c.id,
        literal(principal.user),
        literal(principal.via),
        moved.c.from_state,
        literal(to.value),
        cast(bindparam("detail", reason), Text),
    )
    columns = ["job_id", "actor", "via", "from_state", "to_state", "detail"]
    written = await session.scalars(
        insert(JobEvent).from_select(columns, event).returning(JobEvent.job_id)
    )
    done = set(written)
    if to.is_final and done:
        await reservations.give_back(session, done)
        heard_by = select(JobRow.user).where(JobRow.id.in_(done)).distinct().subquery()
        await session.execute(select(func.pg_notify(Channel.ENDED.value, heard_by.c.user)))
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


def _moments(to: JobState) -> dict[str, Any]:
    match to:
        case JobState.QUEUED:
            return {"finished_at": None, "asks_since": None}
        case JobState.RUNNING:
            return {"asks_since": None}
        case JobState.PREPARING:
            return {"started_at": func.coalesce(JobRow.started_at, func.now())}
        case _ if to.is_final:
            return {"finished_at": func.now(), "asks_since": None}
        case _:
            return {}
