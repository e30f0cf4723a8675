"""Finding, cancelling and retrying jobs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Row,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    false,
    func,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.errors import NotFound
from qpuflow.domain.job import OPEN, IllegalTransition, Job, JobState
from qpuflow.domain.policy import missed
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import Scope
from qpuflow.ledger import batches, carriers, events, reservations
from qpuflow.ledger.job_values import value_of
from qpuflow.ledger.schema import JobEvent, JobRow


async def find(session: AsyncSession, principal: Principal, job_id: UUID) -> Job:
    """A job that the principal may see; `NotFound` for any other, known or not."""
    return visible(principal, job_id, await session.get(JobRow, job_id))


def visible(principal: Principal, job_id: UUID, row: JobRow | Row[Any] | None) -> Job:
    """The row's job; `NotFound` where there is none, and where it is not for the principal."""
    if row is None or not principal.may_see(row.user):
        raise NotFound(f"There is no job {job_id} of yours", remedy="See `qpuflow jobs`.")
    return value_of(row)


async def history(session: AsyncSession, principal: Principal, job_id: UUID) -> list[JobEvent]:
    """Everything that happened to the job, oldest first."""
    await find(session, principal, job_id)
    rows = await session.scalars(
        select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id)
    )
    return list(rows)


async def resolve(session: AsyncSession, principal: Principal, text: str) -> UUID:
    """A job's id from its first characters, its full id, or its key."""
    matches = list(
        await session.scalars(
            _visible(principal)
            .with_only_columns(JobRow.id)
            .where((JobRow.key == text) | _begins_with(text.lower()))
            .limit(3)
        )
    )
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise NotFound(f"Several jobs begin with {text!r}", remedy="Give more characters.")
    raise NotFound(f"There is no job {text!r} of yours", remedy="See `qpuflow jobs`.")


async def recent(
    session: AsyncSession, principal: Principal, *, qpu: str | None = None, limit: int = 50
) -> list[Job]:
    """The newest jobs that the principal may see."""
    query = _visible(principal).order_by(JobRow.number.desc()).limit(limit)
    if qpu is not None:
        query = query.where(JobRow.qpu == qpu)
    return [value_of(row) for row in await session.scalars(query)]


async def states(
    session: AsyncSession, principal: Principal, job_ids: Sequence[UUID]
) -> dict[UUID, JobState]:
    """The states of those of the jobs that the principal may see."""
    rows = await session.execute(
        _visible(principal).with_only_columns(JobRow.id, JobRow.state).where(JobRow.id.in_(job_ids))
    )
    return {job_id: JobState(state) for job_id, state in rows.tuples()}


async def request_cancel(session: AsyncSession, principal: Principal, job_id: UUID) -> JobState:
    """Cancel at once a job that nobody is at work on; ask the carrier of any other to, anew each
    time.

    Returns the state after.
    """
    job = await find(session, principal, job_id)
    if job.state.is_final:
        return job.state
    await session.execute(
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.finished_at.is_(None))
        .values(cancel_requested_at=func.now())
    )
    await events.move(
        session,
        principal,
        [job_id],
        JobState.CANCELLED,
        reason=f"Cancelled by {principal.user}",
        sources=[JobState.QUEUED, JobState.UNAPPROVED],
    )
    state = await session.scalar(select(JobRow.state).where(JobRow.id == job_id))
    return JobState(state)


async def request_cancel_all(
    session: AsyncSession, principal: Principal, job_ids: Collection[UUID]
) -> None:
    """For a part of ours: have the carriers of these jobs cancel them."""
    principal.require_operator("cancel other people's jobs")
    await session.execute(
        update(JobRow)
        .where(JobRow.id.in_(job_ids), JobRow.finished_at.is_(None))
        .values(cancel_requested_at=func.now())
    )


_ASKED = select(JobRow.id).where(
    JobRow.id == any_(bindparam("jobs", type_=ARRAY(Uuid))),
    JobRow.cancel_requested_at.is_not(None),
    JobRow.state.in_([state.value for state in OPEN]),
)


async def asked_to_cancel(session: AsyncSession, job_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the jobs that somebody wants cancelled and that have not ended."""
    return set(await session.scalars(_ASKED, {"jobs": list(job_ids)}))


_ASKING = text(
    """
    SELECT count(*) FROM jobs
    WHERE id = ANY(:jobs) AND state = 'preparing' AND asks_since IS NOT NULL
    """
)


async def are_asking(session: AsyncSession, job_ids: Sequence[UUID]) -> bool:
    """Whether all of these jobs wait for the arbiter, in the eyes of the ledger."""
    return await session.scalar(_ASKING, {"jobs": list(job_ids)}) == len(job_ids)


async def retry(
    session: AsyncSession, principal: Principal, job_id: UUID, flow_run_id: UUID | None = None
) -> None:
    """A new attempt of a failed job, asked for by a person.

    It travels in its batch's carrier; where there is none any more, in the run of that id, or in
    one to be created. Raises `IllegalTransition` when the job has not failed, since the QPU may
    have it, or is not to start any more, and `QuotaExceeded` when the project has too little left
    by now.
    """
    job = await find(session, principal, job_id)
    await batches.lock(session, job.batch_id)
    why = f"Retried by {principal.user}"
    failed = [JobState.FAILED]
    if not await events.move(
        session, principal, [job_id], JobState.QUEUED, reason=why, sources=failed
    ):
        raise IllegalTransition(f"Job {job_id} has not failed, so there is nothing to retry")
    if job.start_by is not None and job.start_by < datetime.now(UTC):
        raise IllegalTransition(missed(job.start_by), remedy="Submit it anew.")
    await next_attempt(session, [job_id])
    await session.execute(
        update(JobRow).where(JobRow.id == job_id).values(cancel_requested_at=None, carriers_lost=0)
    )
    await carriers.replace(session, job.batch_id, flow_run_id)
    scope = Scope(job.project, job.qpu)
    await reservations.reserve(session, scope, {job_id: job.estimate_seconds})


async def next_attempt(session: AsyncSession, job_ids: Collection[UUID]) -> None:
    """From now on another token stands for these jobs: the last one led to nothing."""
    await session.execute(
        update(JobRow).where(JobRow.id.in_(job_ids)).values(attempt=JobRow.attempt + 1)
    )


def _begins_with(text: str) -> ColumnElement[bool]:
    return cast(JobRow.id, Text).startswith(text, autoescape=True) if text else false()


def _visible(principal: Principal) -> Select[tuple[JobRow]]:
    query = select(JobRow)
    return query if principal.is_operator else query.where(JobRow.user == principal.user)
