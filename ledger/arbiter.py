"""The one arbiter: who may run on a QPU now, decided and granted in one transaction.

Under the QPU's row lock it reads what the policy needs, asks `decide`, and gives the lane to the
carrier whose job was named. Everybody else is told why not.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.booking import BookingState
from qpuflow.domain.device import Control, DeviceStatus, stopped
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
from qpuflow.domain.vendor_calendar import PREFIX
from qpuflow.ledger import carriers, leases
from qpuflow.ledger.schema import BookingRow, Carrier, CarrierState, JobRow, Lease, Qpu

MOST = 150
"""Jobs that a forecast looks at."""
TO_START = (JobState.QUEUED.value, JobState.PREPARING.value)


@dataclass(frozen=True, slots=True)
class Question:
    """A carrier asks for a lane. The silence after which others' jobs are not waited for."""

    qpu: str
    carrier_id: UUID
    batch_id: UUID
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class Turn:
    """The lane is the carrier's, for these jobs and no others."""

    fencing_token: int
    job_ids: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class After:
    """A lane is free, and it is the turn of this batch's carrier."""

    batch_id: Hashable


_GET_READY = text(
    """
    UPDATE jobs SET
        estimate_seconds = :seconds, asks_since = coalesce(asks_since, clock_timestamp())
    WHERE id = :job AND state = 'preparing'
    """
)


async def get_ready(session: AsyncSession, estimates: Mapping[UUID, float]) -> None:
    """These jobs could start now: from here on they count when it is decided who does."""
    rows = [{"job": job_id, "seconds": seconds} for job_id, seconds in estimates.items()]
    connection = await session.connection()
    await connection.execute(_GET_READY, rows)


_WITHDRAW = text(
    "UPDATE jobs SET asks_since = NULL WHERE batch_id = :batch AND asks_since IS NOT NULL"
)


async def withdraw(session: AsyncSession, batch_id: UUID) -> None:
    """Its carrier asks no longer: nobody shall be kept waiting for it."""
    await session.execute(_WITHDRAW, {"batch": batch_id})


async def ask(session: AsyncSession, question: Question, rules: PolicyRules) -> Turn | Wait | After:
    """A turn, or why it is not this carrier's.

    A carrier that got no answer gets ready and asks again: the lease is the same if it still is
    its turn.
    """
    row = await leases.lock(session, question.qpu)
    if row is None:
        return Wait(f"There is no QPU {question.qpu!r}")
    state, now, held = await _load(session, row, rules, question)
    decision = decide(state, now)
    own = held.get(question.carrier_id)
    if isinstance(decision, Wait) or decision.jobs[0].batch != question.batch_id:
        if own is not None:
            await leases.release(session, row.name, own.fencing_token)
        return decision if isinstance(decision, Wait) else After(decision.jobs[0].batch)
    work = decision.ends_at - now
    if own is None:
        token = await leases.grant(session, row, question.carrier_id, question.lease_seconds, work)
    else:
        own.ends_at, token = decision.ends_at, own.fencing_token
    # Its other jobs ask again with the next chunk: until then no lane shall be kept for them.
    await withdraw(session, question.batch_id)
    return Turn(token, frozenset(_ids(decision)))


def _ids(grant: Grant) -> list[UUID]:
    return [job.id for job in grant.jobs if isinstance(job.id, UUID)]


async def _load(
    session: AsyncSession, row: Qpu, rules: PolicyRules, question: Question
) -> tuple[QpuState, datetime, dict[UUID, Lease]]:
    now = await _count_usage(session, row.name, rules)
    held = {lease.carrier_id: lease for lease in await leases.held(session, row.name)}
    others = [lease for key, lease in held.items() if key != question.carrier_id]
    waiting = await _asking(session, question)
    state = await _state(session, row, rules, now, others, waiting)
    return state, now, held


async def outlook(
    session: AsyncSession, qpu: str, rules: PolicyRules, waiting: Sequence[Waiting]
) -> tuple[datetime, QpuState]:
    """The QPU as it is now, were these the jobs that wait. Nothing is locked or decided."""
    row = await session.get_one(Qpu, qpu)
    now, held = await _clock(session), await leases.held(session, qpu)
    return now, await _state(session, row, rules, now, held, waiting)


async def _state(
    session: AsyncSession,
    row: Qpu,
    rules: PolicyRules,
    now: datetime,
    held: Sequence[Lease],
    waiting: Sequence[Waiting],
) -> QpuState:
    slots = await _slots(session, row.name, now, rules)
    active = {slot.project: slot for slot in slots if slot.project and slot.starts_at <= now}
    usage = await _usage(session, row.name, rules, now, {job.user for job in waiting})
    for lease in held:
        spent = (max(now, lease.ends_at) - lease.granted_at).total_seconds()
        usage[lease.user] = usage.get(lease.user, 0.0) + spent
    return QpuState(
        rules=rules,
        lanes=row.lanes,
        slots=slots,
        running=tuple(Running(lease.project, lease.ends_at) for lease in held),
        waiting=tuple(waiting),
        usage=usage,
        last_active=await _last_active(session, row.name, active),
        busy=frozenset(await _with_work(session, row.name, list(active))),
        closed=_closed(row),
        lends=bool(row.device.get("interruptible", True)),
    )


def _closed(row: Qpu) -> str | None:
    if not Control(row.control).starts:
        return stopped(row.name, Control(row.control), row.control_reason)
    if row.status != DeviceStatus.ONLINE.value:
        return f"{row.name} says it is {row.status}" + (
            f": {row.status_reason}" if row.status_reason else ""
        )
    return None


async def _clock(session: AsyncSession) -> datetime:
    now = await session.scalar(select(func.clock_timestamp()))
    assert now is not None
    return now


_SLOTS = select(BookingRow.starts_at, BookingRow.ends_at, BookingRow.project).where(
    BookingRow.qpu == bindparam("qpu"),
    BookingRow.state == BookingState.ACTIVE.value,
    BookingRow.ends_at > bindparam("now"),
    BookingRow.starts_at < bindparam("end"),
    ~BookingRow.source.startswith(PREFIX),
)


async def _slots(
    session: AsyncSession, qpu: str, now: datetime, rules: PolicyRules
) -> tuple[Slot, ...]:
    values = {"qpu": qpu, "now": now, "end": now + timedelta(days=rules.horizon_days)}
    rows = await session.execute(_SLOTS, values)
    return tuple(Slot(*row) for row in rows.tuples())


ASKING = text(
    """
    SELECT j.id, j.batch_id, j."user", j.project, j.number, j.estimate_seconds,
           j.not_before, j.start_by, j.moved_up_at IS NOT NULL
    FROM jobs j JOIN carriers c ON c.batch_id = j.batch_id AND c.state = 'live'
    WHERE j.qpu = :qpu AND j.asks_since IS NOT NULL AND j.state = 'preparing'
      AND (c.id = :carrier OR c.heartbeat_at > now() - make_interval(secs => :silence))
    """
)


async def _asking(session: AsyncSession, question: Question) -> list[Waiting]:
    values = {
        "qpu": question.qpu,
        "carrier": question.carrier_id,
        "silence": question.lease_seconds,
    }
    rows = await session.execute(ASKING, values)
    return [Waiting(*row) for row in rows.tuples()]


COUNT = text(
    """
    WITH done AS (
        UPDATE leases SET counted = true
        WHERE qpu = :qpu AND released_at IS NOT NULL AND NOT counted
        RETURNING "user", greatest(extract(epoch FROM released_at - granted_at), 0) AS seconds
    ), clock AS (
        SELECT clock_timestamp() AS now
    ), counted AS (
        INSERT INTO usages (qpu, "user", seconds, as_of)
        SELECT CAST(:qpu AS text), "user", sum(seconds), min(now)
        FROM done, clock GROUP BY "user"
        ON CONFLICT (qpu, "user") DO UPDATE SET
            seconds = usages.seconds
                * power(0.5, extract(epoch FROM excluded.as_of - usages.as_of) / :half_life)
                + excluded.seconds,
            as_of = excluded.as_of
    )
    SELECT now FROM clock
    """
)


async def _count_usage(session: AsyncSession, qpu: str, rules: PolicyRules) -> datetime:
    """The time of every lease that has ended, once; the clock's time in the same round trip.

    A charge comes later, and may not come.
    """
    half_life = rules.usage_half_life_seconds
    now = await session.scalar(COUNT, {"qpu": qpu, "half_life": half_life})
    assert now is not None
    return now


USED = text(
    """
    SELECT "user", seconds
        * power(0.5, extract(epoch FROM CAST(:now AS timestamptz) - as_of) / :half_life)
    FROM usages WHERE qpu = :qpu AND "user" = ANY(:users)
    """
)


async def _usage(
    session: AsyncSession, qpu: str, rules: PolicyRules, now: datetime, users: set[str]
) -> dict[str, float]:
    half_life = rules.usage_half_life_seconds
    values = {"qpu": qpu, "now": now, "half_life": half_life, "users": list(users)}
    rows = await session.execute(USED, values)
    return {user: float(seconds) for user, seconds in rows.tuples()}


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
    now = await _clock(session)
    lease = await session.get(Lease, (qpu, fencing_token))
    if lease is None or lease.ends_at > now:
        return False
    state = QpuState(rules=rules, slots=await _slots(session, qpu, now, rules))
    return must_stop(state, Running(lease.project, lease.ends_at), now)


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
    now, state = await outlook(session, job.qpu, rules, waiting)
    # What is not ready yet is, by the time that its turn comes.
    return explain(replace(state, busy=frozenset()), now)[job.id]


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
