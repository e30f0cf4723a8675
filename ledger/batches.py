"""Batches: which jobs travel together, and which of them come next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Select, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.job import AT_QPU, Job, JobState
from qpuflow.domain.principal import Principal
from qpuflow.ledger import events
from qpuflow.ledger.job_values import value_of
from qpuflow.ledger.live import checked, require_live
from qpuflow.ledger.schema import (
    Batch,
    BatchKind,
    BatchState,
    Carrier,
    CarrierState,
    JobRow,
)
from qpuflow.ledger.signals import Channel, tell

MAX_JOBS = 2_000
"""A batch that has taken so many accepts no more; the next job opens another."""


@dataclass(frozen=True, slots=True)
class CarriedBy:
    """Whose jobs, on what; and the flow run that exists already, for a job started in Prefect.

    `not_before` is a coming moment: what may not start yet keeps no other job's run waiting.
    """

    qpu: str
    user: str
    project: str
    flow_run_id: UUID | None = None
    not_before: datetime | None = None


async def join(session: AsyncSession, carried_by: CarriedBy, job_count: int = 1) -> UUID:
    """The batch for more jobs; a new one, with its carrier, where none accepts."""
    if carried_by.flow_run_id is not None:
        return await _open(session, carried_by, BatchKind.SINGLE, job_count)
    batch_id = await _accepting(session, carried_by, job_count)
    return batch_id or await _open(session, carried_by, BatchKind.SHARED, job_count)


# Locks the batch: its runner closes it under the same lock. Not against those who only refer to
# it: whoever changes a job twice does, with its project's allowances locked, for which we wait
# further on.
JOIN = """
    UPDATE batches SET
        job_count = job_count + CASE WHEN job_count < :most THEN :joining ELSE 0 END,
        state = CASE WHEN job_count < :most THEN state ELSE 'closed' END,
        closed_at = CASE WHEN job_count < :most THEN closed_at ELSE now() END
    WHERE qpu = :qpu AND "user" = :user AND project = :project AND kind = 'shared'
      AND state <> 'closed'
      AND coalesce(not_before, '-infinity') = coalesce(CAST(:start AS timestamptz), '-infinity')
      {condition}
    RETURNING id, state <> 'closed' AS accepts,
        CASE WHEN state = 'running' THEN pg_notify(:channel, CAST(id AS text)) END
"""
_JOIN = text(JOIN.format(condition=""))


async def _accepting(session: AsyncSession, carried_by: CarriedBy, job_count: int) -> UUID | None:
    """The open batch with so many more jobs in it; one that is full is closed instead."""
    found = (await session.execute(_JOIN, joining(carried_by, job_count))).one_or_none()
    return found.id if found is not None and found.accepts else None


def joining(carried_by: CarriedBy, job_count: int) -> dict[str, Any]:
    """The values for `JOIN`."""
    return {
        "qpu": carried_by.qpu,
        "user": carried_by.user,
        "project": carried_by.project,
        "start": carried_by.not_before,
        "joining": job_count,
        "most": MAX_JOBS,
        "channel": Channel.JOINED.value,
    }


async def _open(
    session: AsyncSession, carried_by: CarriedBy, kind: BatchKind, job_count: int
) -> UUID:
    values = {
        "id": uuid4(),
        "kind": kind.value,
        "state": BatchState.OPEN.value,
        "qpu": carried_by.qpu,
        "user": carried_by.user,
        "project": carried_by.project,
        "job_count": job_count,
        "not_before": carried_by.not_before,
    }
    written = await session.scalar(
        upsert(Batch).values(values).on_conflict_do_nothing().returning(Batch.id)
    )
    if written is None:
        # Somebody opened one at the same moment; it is committed by now.
        joined = await _accepting(session, carried_by, job_count)
        return joined or await _open(session, carried_by, kind, job_count)
    run = carried_by.flow_run_id
    await session.execute(
        insert(Carrier).values(
            id=uuid4(),
            batch_id=written,
            flow_run_id=run,
            state=(CarrierState.LIVE if run else CarrierState.PENDING).value,
        )
    )
    if run is None:
        await tell(session, Channel.OUTBOX, carried_by.qpu)
    return written


async def start(session: AsyncSession, principal: Principal, batch_id: UUID) -> None:
    """A carrier begins: what its predecessor had only prepared is queued again."""
    await session.execute(
        update(Batch)
        .where(Batch.id == batch_id, Batch.state == BatchState.OPEN.value)
        .values(state=BatchState.RUNNING.value)
    )
    await put_back(session, principal, batch_id, "Its carrier ended before it was handed over")


async def put_back(
    session: AsyncSession, principal: Principal, batch_id: UUID, reason: str
) -> None:
    """What was only prepared is queued again."""
    prepared = await session.scalars(_jobs(batch_id, JobState.PREPARING))
    await events.move(
        session,
        principal,
        [job.id for job in prepared],
        JobState.QUEUED,
        reason=reason,
        sources=[JobState.PREPARING],
    )


# In one round trip, for which a loop waits with every job.
_NEXT = checked("""{live}, before AS (
    SELECT id, state FROM jobs
    WHERE batch_id = :batch AND state = 'queued'
      AND (CAST(:carrier AS uuid) IS NULL OR EXISTS (SELECT FROM live))
    ORDER BY moved_up_at IS NULL, number LIMIT :most FOR UPDATE
)""")
_TAKE = events.statement(
    JobState.PREPARING,
    before=_NEXT,
    columns=", ".join(f'"{one.name}"' for one in JobRow.__table__.columns),
).columns(options=JSONB, timings=JSONB)


async def take(
    session: AsyncSession,
    principal: Principal,
    batch_id: UUID,
    limit: int,
    carrier_id: UUID | None = None,
) -> list[Job]:
    """The batch's next queued jobs, now PREPARING: those moved to the front, then the oldest.

    Raises `CarrierLost` when they are not that carrier's to take.
    """
    values = {
        **events.values_of(principal, JobState.PREPARING),
        "batch": batch_id,
        "most": limit,
        "carrier": carrier_id,
    }
    rows = await session.execute(_TAKE, values)
    taken = sorted(rows, key=lambda row: row.number)
    if not taken and carrier_id is not None:
        await require_live(session, carrier_id)
    return [value_of(row) for row in taken]


async def handed_over(session: AsyncSession, batch_id: UUID) -> list[Job]:
    """Jobs that an earlier carrier has, or may have, handed to the QPU: to be asked for first."""
    return [value_of(row) for row in await session.scalars(_jobs(batch_id, *AT_QPU))]


async def unfinished(session: AsyncSession, batch_id: UUID) -> list[UUID]:
    rows = await session.scalars(
        select(JobRow.id).where(JobRow.batch_id == batch_id, JobRow.finished_at.is_(None))
    )
    return list(rows)


async def begun(session: AsyncSession, batch_id: UUID) -> list[UUID]:
    """Jobs that a carrier was at work on."""
    states = (JobState.PREPARING, JobState.RUNNING, JobState.WAITING)
    return [row.id for row in await session.scalars(_jobs(batch_id, *states))]


async def unapproved(session: AsyncSession, batch_id: UUID) -> list[UUID]:
    """Jobs about whose cost an operator is asked."""
    return [row.id for row in await session.scalars(_jobs(batch_id, JobState.UNAPPROVED))]


async def only_unapproved(session: AsyncSession, batch_id: UUID) -> bool:
    """Whether all that is left of the batch waits for an operator to approve its cost."""
    asked_about = set(await unapproved(session, batch_id))
    return bool(asked_about) and set(await unfinished(session, batch_id)) == asked_about


async def begun_in_run(session: AsyncSession, flow_run_id: UUID) -> list[UUID]:
    """Jobs that the carrier with this flow run is at work on."""
    batch_id = await session.scalar(
        select(Carrier.batch_id).where(
            Carrier.flow_run_id == flow_run_id, Carrier.state == CarrierState.LIVE.value
        )
    )
    return await begun(session, batch_id) if batch_id else []


def _jobs(batch_id: UUID, *states: JobState) -> Select[tuple[JobRow]]:
    return (
        select(JobRow)
        .where(JobRow.batch_id == batch_id, JobRow.state.in_([state.value for state in states]))
        .order_by(JobRow.number)
    )


async def lock(session: AsyncSession, batch_id: UUID) -> None:
    """The lock that `join` takes. Whoever needs more than one takes batch, carrier, jobs."""
    await session.execute(
        select(Batch.id).where(Batch.id == batch_id).with_for_update(key_share=True)
    )


async def has_queued(session: AsyncSession, batch_id: UUID) -> bool:
    return await session.scalar(_jobs(batch_id, JobState.QUEUED).limit(1)) is not None


async def close_if_empty(session: AsyncSession, batch_id: UUID) -> bool:
    """Close the batch unless a job is queued in it."""
    await lock(session, batch_id)
    if await has_queued(session, batch_id):
        return False
    await close(session, batch_id)
    return True


async def leave(session: AsyncSession, batch_id: UUID) -> None:
    """Its user has no more for it: once it is empty its carrier ends, and does not linger."""
    if await close_if_empty(session, batch_id):
        await tell(session, Channel.JOINED, str(batch_id))


async def is_closed(session: AsyncSession, batch_id: UUID) -> bool:
    state = await session.scalar(select(Batch.state).where(Batch.id == batch_id))
    return state == BatchState.CLOSED.value


async def close(session: AsyncSession, batch_id: UUID) -> None:
    """Nothing joins it any more. To be called under its lock."""
    await session.execute(
        update(Batch)
        .where(Batch.id == batch_id, Batch.state != BatchState.CLOSED.value)
        .values(state=BatchState.CLOSED.value, closed_at=func.now())
    )


_FIRST = text(
    """
    SELECT job_count, (
        SELECT id FROM jobs WHERE batch_id = batches.id
        ORDER BY finished_at IS NOT NULL, moved_up_at IS NULL, number LIMIT 1
    ) AS first FROM batches WHERE id = :batch
    """
)


async def first_and_count(session: AsyncSession, batch_id: UUID) -> tuple[UUID, int]:
    """The job that comes next, and how many have joined so far."""
    row = (await session.execute(_FIRST, {"batch": batch_id})).one()
    return row.first, row.job_count


async def find(session: AsyncSession, batch_id: UUID) -> Batch:
    return await session.get_one(Batch, batch_id)
