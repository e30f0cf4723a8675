"""The one arbiter: who may run on a QPU now, decided and granted in one transaction.

Under the QPU's row lock it reads what the policy needs, asks `decide`, and gives the lane to the
carrier whose job was named. Everybody else is told why not.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.forecast import explain
from qpuflow.domain.job import JobState
from qpuflow.domain.policy import (
    Grant,
    PolicyRules,
    QpuState,
    Running,
    Slot,
    Wait,
    Waiting,
    decide,
    must_stop,
)
from qpuflow.ledger import carriers, leases
from qpuflow.ledger.live import checked, lost
from qpuflow.ledger.schema import Carrier, CarrierState, JobRow, Lease
from qpuflow.ledger.standing import Held, Standing, read

MOST = 150
"""Jobs that a forecast looks at."""
TO_START = (JobState.QUEUED.value, JobState.PREPARING.value)


@dataclass(frozen=True, slots=True)
class Question:
    """A carrier asks for a lane. The silence after which others' jobs are not waited for.

    `ready` has the estimates, in seconds, of jobs that have not asked before.
    """

    qpu: str
    carrier_id: UUID
    batch_id: UUID
    lease_seconds: float
    ready: Mapping[UUID, float] = field(default_factory=dict[UUID, float])


@dataclass(frozen=True, slots=True)
class Turn:
    """The lane is the carrier's, for these jobs and no others."""

    fencing_token: int
    job_ids: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class After:
    """A lane is free, and it is the turn of this batch's carrier."""

    batch_id: Hashable


async def ask(session: AsyncSession, question: Question, rules: PolicyRules) -> Turn | Wait | After:
    """A turn, or why it is not this carrier's. Raises `CarrierLost`.

    A carrier that got no answer gets ready and asks again: the lease is the same if it still is
    its turn.
    """
    qpu, carrier_id = question.qpu, question.carrier_id
    if not await get_ready(session, question, rules):
        return Wait(f"There is no QPU {qpu!r}")
    standing = await read(
        session, qpu, rules, carrier_id=carrier_id, silence_seconds=question.lease_seconds
    )
    own = next((one for one in standing.held if one.carrier_id == carrier_id), None)
    others = [one for one in standing.held if one is not own]
    decision = decide(
        await _state(session, qpu, rules, standing, others, standing.asking), standing.now
    )
    if isinstance(decision, Wait) or decision.jobs[0].batch != question.batch_id:
        if own is not None:
            await leases.release(session, qpu, own.fencing_token)
        return decision if isinstance(decision, Wait) else After(decision.jobs[0].batch)
    if own is None:
        work = decision.ends_at - standing.now
        token = await leases.grant(session, qpu, carrier_id, question.lease_seconds, work)
    else:
        token = own.fencing_token
        await leases.extend(session, qpu, token, decision.ends_at)
        await withdraw(session, question.batch_id)
    return Turn(token, frozenset(_ids(decision)))


# The lock comes before what is done under it; what is read under it is another statement, which
# sees all that was granted before the lock was ours. An expired lease is ended for good: a renewal
# either came before this or comes too late. A charge comes later than the end, and may not come:
# what counts for a user's share is the time of the lease.
_GET_READY = text(
    checked(
        """
    WITH {live}, ready AS (
        UPDATE jobs SET
            estimate_seconds = new.seconds, asks_since = coalesce(asks_since, clock_timestamp())
        FROM live, unnest(CAST(:jobs AS uuid[]), CAST(:seconds AS float[])) AS new (id, seconds)
        WHERE jobs.id = new.id AND state = 'preparing'
        RETURNING jobs.id
    ), locked AS (
        SELECT name FROM qpus
        WHERE name = :qpu AND (SELECT count(*) FROM ready) >= 0 FOR NO KEY UPDATE
    ), expired AS (
        UPDATE leases SET released_at = expires_at FROM locked
        WHERE qpu = locked.name AND released_at IS NULL AND expires_at <= clock_timestamp()
    ), done AS (
        UPDATE leases SET counted = true FROM locked
        WHERE qpu = locked.name AND released_at IS NOT NULL AND NOT counted
        RETURNING "user", greatest(extract(epoch FROM released_at - granted_at), 0) AS seconds
    ), used AS (
        INSERT INTO usages (qpu, "user", seconds, as_of)
        SELECT :qpu, "user", sum(seconds), clock_timestamp() FROM done GROUP BY "user"
        ON CONFLICT (qpu, "user") DO UPDATE SET
            seconds = usages.seconds
                * power(0.5, least(
                    extract(epoch FROM excluded.as_of - usages.as_of) / :half_life, 900))
                + excluded.seconds,
            as_of = excluded.as_of
    )
    SELECT locked.name IS NOT NULL FROM live LEFT JOIN locked ON true
    """
    )
)


async def get_ready(session: AsyncSession, question: Question, rules: PolicyRules) -> bool:
    """The jobs could start now: from here on they count when it is decided who does, and until
    the end of the transaction nobody else decides it.

    False: there is no such QPU. Raises `CarrierLost`.
    """
    values = {
        "qpu": question.qpu,
        "carrier": question.carrier_id,
        "jobs": list(question.ready),
        "seconds": list(question.ready.values()),
        "half_life": rules.usage_half_life_seconds,
    }
    is_there = await session.scalar(_GET_READY, values)
    if is_there is None:
        raise lost(question.carrier_id)
    return is_there


_WITHDRAW = text(
    "UPDATE jobs SET asks_since = NULL WHERE batch_id = :batch AND asks_since IS NOT NULL"
)


async def withdraw(session: AsyncSession, batch_id: UUID) -> None:
    """Its carrier asks no longer: nobody shall be kept waiting for it."""
    await session.execute(_WITHDRAW, {"batch": batch_id})


def _ids(grant: Grant) -> list[UUID]:
    return [job.id for job in grant.jobs if isinstance(job.id, UUID)]


async def outlook(
    session: AsyncSession,
    qpu: str,
    rules: PolicyRules,
    waiting: Sequence[Waiting],
    *,
    silence_seconds: float = 0.0,
) -> tuple[Standing, QpuState]:
    """The QPU as it is now, were these the jobs that wait. Nothing is locked or decided.

    Those that ask for a lane, and were heard of within `silence_seconds`, are in the first.
    """
    users = {job.user for job in waiting}
    standing = await read(session, qpu, rules, users=users, silence_seconds=silence_seconds)
    return standing, await _state(session, qpu, rules, standing, standing.held, waiting)


async def _state(
    session: AsyncSession,
    qpu: str,
    rules: PolicyRules,
    standing: Standing,
    held: Sequence[Held],
    waiting: Sequence[Waiting],
) -> QpuState:
    now, usage = standing.now, dict(standing.usage)
    active = {one.project: one for one in standing.slots if one.project and one.starts_at <= now}
    for lease in held:
        spent = (max(now, lease.ends_at) - lease.granted_at).total_seconds()
        usage[lease.user] = usage.get(lease.user, 0.0) + spent
    return QpuState(
        rules=rules,
        lanes=standing.lanes,
        slots=standing.slots,
        running=tuple(Running(lease.project, lease.ends_at) for lease in held),
        waiting=tuple(waiting),
        usage=usage,
        last_active=await _last_active(session, qpu, active),
        busy=frozenset(await _with_work(session, qpu, list(active))),
        closed=standing.closed,
        lends=standing.lends,
    )


async def _last_active(
    session: AsyncSession, qpu: str, active: Mapping[str, Slot]
) -> dict[str, datetime]:
    found: dict[str, datetime] = {}
    for project, slot in active.items():
        query = select(func.max(Lease.released_at)).where(
            Lease.qpu == qpu, Lease.project == project, Lease.released_at >= slot.starts_at
        )
        if (last := await session.scalar(query)) is not None:
            found[project] = last
    return found


async def _with_work(session: AsyncSession, qpu: str, projects: Sequence[str]) -> list[str]:
    """Those whose jobs are still on their way here, and due."""
    if not projects:
        return []
    found: list[str] = []
    now = func.clock_timestamp()
    resting = select(Carrier.batch_id).where(
        Carrier.state == CarrierState.LIVE.value, Carrier.resting_since.is_not(None)
    )
    for project in projects:
        query = select(JobRow.id).where(
            JobRow.qpu == qpu,
            JobRow.project == project,
            JobRow.state.in_(TO_START),
            JobRow.asks_since.is_(None),
            JobRow.batch_id.not_in(resting),
            func.coalesce(JobRow.not_before, now) <= now,
            func.coalesce(JobRow.start_by, now) >= now,
        )
        if await session.scalar(query.limit(1)) is not None:
            found.append(project)
    return found


async def has_overrun(
    session: AsyncSession, qpu: str, fencing_token: int, rules: PolicyRules
) -> bool:
    """Whether the work under this lease keeps a booker from their time."""
    lease = await session.get(Lease, (qpu, fencing_token))
    if lease is None or lease.ends_at > await _clock(session):
        return False
    standing = await read(session, qpu, rules)
    state = QpuState(rules=rules, slots=standing.slots)
    return must_stop(state, Running(lease.project, lease.ends_at), standing.now)


async def _clock(session: AsyncSession) -> datetime:
    now = await session.scalar(select(func.clock_timestamp()))
    assert now is not None
    return now


async def cut_off(session: AsyncSession, qpu: str, fencing_token: int, ids: Sequence[UUID]) -> None:
    """Their estimates were too low: next time they get a gap that holds what they took."""
    lease = await session.get_one(Lease, (qpu, fencing_token))
    took = (await _clock(session) - lease.granted_at).total_seconds()
    await session.execute(
        update(JobRow)
        .where(JobRow.id.in_(ids))
        .values(estimate_seconds=func.greatest(JobRow.estimate_seconds, 2 * took))
    )


async def forecast(session: AsyncSession, rules: PolicyRules, job_id: UUID) -> Wait | None:
    """Why a job that has not started waits, and when it is expected to start."""
    job = await session.get_one(JobRow, job_id)
    if job.state not in TO_START:
        return None
    if await carriers.is_resting(session, job.batch_id):
        return Wait("Its flow run is suspended in Prefect, and waits to be resumed")
    before = (
        select(JobRow)
        .where(JobRow.qpu == job.qpu, JobRow.state.in_(TO_START), JobRow.id != job.id)
        .order_by(JobRow.number)
        .limit(MOST)
    )
    waiting = [_of(one) for one in (*await session.scalars(before), job)]
    standing, state = await outlook(session, job.qpu, rules, waiting)
    # What is not ready yet is, by the time that its turn comes.
    return explain(replace(state, busy=frozenset()), standing.now)[job.id]


async def forecast_batch(session: AsyncSession, rules: PolicyRules, batch_id: UUID) -> Wait | None:
    """The same of the batch's oldest job that waits for its carrier or for a lane."""
    waits = or_(JobRow.state == JobState.QUEUED.value, JobRow.asks_since.is_not(None))
    return await _forecast_first(session, rules, batch_id, waits)


async def forecast_lane(session: AsyncSession, rules: PolicyRules, batch_id: UUID) -> Wait | None:
    """The same of the batch's oldest job that asks for a lane; None if none asks."""
    return await _forecast_first(session, rules, batch_id, JobRow.asks_since.is_not(None))


async def _forecast_first(
    session: AsyncSession, rules: PolicyRules, batch_id: UUID, which: ColumnElement[bool]
) -> Wait | None:
    oldest = select(JobRow.id).where(JobRow.batch_id == batch_id, which)
    job_id = await session.scalar(oldest.order_by(JobRow.number).limit(1))
    return await forecast(session, rules, job_id) if job_id is not None else None


def _of(row: JobRow) -> Waiting:
    return Waiting(
        row.id,
        row.batch_id,
        row.user,
        row.project,
        row.number,
        row.estimate_seconds,
        row.not_before,
        row.start_by,
        row.moved_up_at is not None,
    )
