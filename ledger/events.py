"""The append-only history of every job, and the one way to change a job's state."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn
from uuid import UUID

from sqlalchemy import TextClause, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.job import IllegalTransition, JobState, sources_of
from qpuflow.domain.principal import Principal
from qpuflow.ledger import reservations
from qpuflow.ledger.schema import JobRow
from qpuflow.ledger.signals import Channel

# As text: SQLAlchemy takes a millisecond to build it, which each step of each job would pay.
NAMED = """before AS (
    SELECT id, state FROM jobs WHERE id = ANY(:jobs) AND state = ANY(:sources)
    ORDER BY id FOR UPDATE
)"""
MOVE = """
WITH {before}, moved AS (
    UPDATE jobs SET state = CAST(:to AS text), reason = CAST(:reason AS text){changes}
    FROM before WHERE jobs.id = before.id
    RETURNING jobs.*, before.state AS from_state
), written AS (
    INSERT INTO job_events (job_id, actor, via, from_state, to_state, detail)
    SELECT id, :actor, :via, from_state, CAST(:to AS text), CAST(:reason AS text) FROM moved
){besides}
{answer}
"""
THE_MOVED = "SELECT {columns}{told} FROM moved"
TOLD = """, (
    SELECT count(pg_notify(:channel, one."user")) FROM (SELECT DISTINCT "user" FROM moved) one
)"""


@dataclass(frozen=True, slots=True)
class Besides:
    """What is written together with a change of state, in the same round trip.

    `sql` is one more part of its WITH, or several, which may read the jobs that `moved`.
    """

    sql: str
    values: Mapping[str, Any]


@cache
def statement(
    to: JobState,
    *,
    before: str = NAMED,
    changes: str = "",
    besides: str = "",
    columns: str = "id",
    answer: str = THE_MOVED,
) -> TextClause:
    """The move of the jobs of `before`, which has at least the id and the state of each.

    `changes` are more columns to set, `answer` is asked in the end, of the `columns` of those that
    moved where nothing else is said.
    """
    return text(
        MOVE.format(
            before=before,
            changes=_moments(to) + changes,
            besides=f", {besides}" if besides else "",
            answer=answer.format(columns=columns, told=TOLD if to.is_final else ""),
        )
    )


def _moments(to: JobState) -> str:
    match to:
        case JobState.QUEUED:
            return ", finished_at = NULL, asks_since = NULL"
        case JobState.RUNNING:
            return ", asks_since = NULL"
        case JobState.PREPARING:
            return ", started_at = coalesce(started_at, now())"
        case _ if to.is_final:
            return ", finished_at = now(), asks_since = NULL"
        case _:
            return ""


NOTHING = Besides("", {})


async def move(
    session: AsyncSession,
    principal: Principal,
    job_ids: Collection[UUID],
    to: JobState,
    *,
    reason: str | None = None,
    sources: Collection[JobState] | None = None,
    besides: Besides = NOTHING,
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
        **besides.values,
        **values_of(principal, to, reason),
        "jobs": list(job_ids),
        "sources": values_in(allowed),
    }
    moved = set(await session.scalars(statement(to, besides=besides.sql), values))
    if to.is_final and moved:
        await reservations.give_back(session, moved)
    return moved


def values_of(principal: Principal, to: JobState, reason: str | None = None) -> dict[str, Any]:
    """For `statement`: who moves the jobs, and why."""
    told = {"channel": Channel.ENDED.value} if to.is_final else {}
    return {
        "to": to.value,
        "reason": reason,
        "actor": principal.user,
        "via": principal.via,
        **told,
    }


def values_in(states: Collection[JobState]) -> list[str]:
    return [state.value for state in states]


async def require_move(
    session: AsyncSession,
    principal: Principal,
    job_ids: Collection[UUID],
    to: JobState,
    *,
    reason: str | None = None,
    besides: Besides = NOTHING,
) -> None:
    """As `move`, but every job must be in a state that allows it."""
    moved = await move(session, principal, job_ids, to, reason=reason, besides=besides)
    if missing := set(job_ids) - moved:
        await refuse(session, missing, to)


async def explain(session: AsyncSession, job_id: UUID, reason: str) -> None:
    """Why a job that is being handed over stays where it is; gone with its next change of state."""
    here = (JobRow.id == job_id, JobRow.state == JobState.RUNNING)
    await session.execute(update(JobRow).where(*here).values(reason=reason))


async def refuse(session: AsyncSession, job_ids: Collection[UUID], to: JobState) -> NoReturn:
    """Raises `IllegalTransition`, with the states that the jobs are in."""
    states = await session.execute(select(JobRow.id, JobRow.state).where(JobRow.id.in_(job_ids)))
    rows = ", ".join(f"{job} is {state}" for job, state in states.tuples())
    raise IllegalTransition(f"Cannot become {to.value}: {rows or 'no such job'}")
