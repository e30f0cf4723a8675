"""Carriers: the outbox of flow runs to create, their heartbeats, and replacing lost ones."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.job import JobState
from qpuflow.domain.principal import Principal
from qpuflow.ledger import batches, events
from qpuflow.ledger.live import CarrierLost, lost
from qpuflow.ledger.schema import Batch, BatchKind, Carrier, CarrierState, JobRow, Lease
from qpuflow.ledger.signals import Channel


@dataclass(frozen=True, slots=True)
class Carriage:
    """A carrier with what it takes to create its flow run."""

    id: UUID
    batch_id: UUID
    kind: BatchKind
    qpu: str
    user: str
    number: int
    flow_run_id: UUID | None
    holder: str | None


async def outbox(
    session: AsyncSession, qpu: str | None = None, limit: int | None = None
) -> list[Carriage]:
    """Carriers whose flow run is still to be created, oldest first; of all QPUs, or of one."""
    query = _carriages().where(Carrier.state == CarrierState.PENDING.value).limit(limit)
    if qpu is not None:
        query = query.where(Batch.qpu == qpu)
    return [_value(*row) for row in (await session.execute(query)).tuples()]


async def created(session: AsyncSession, carrier_id: UUID, flow_run_id: UUID) -> bool:
    """The flow run exists. Its heartbeat begins when it starts. False: somebody noted it before."""
    noted = await session.scalar(
        update(Carrier)
        .where(Carrier.id == carrier_id, Carrier.state == CarrierState.PENDING.value)
        .values(state=CarrierState.LIVE.value, flow_run_id=flow_run_id)
        .returning(Carrier.id)
    )
    return noted is not None


async def live(session: AsyncSession) -> list[Carriage]:
    query = _carriages().where(Carrier.state == CarrierState.LIVE.value)
    return [_value(*row) for row in (await session.execute(query)).tuples()]


async def without_seat(
    session: AsyncSession, qpu: str, waited: timedelta, limit: int
) -> list[Carriage]:
    """Those of one QPU that nobody has begun for so long, oldest first."""
    query = _carriages().where(
        Carrier.state.in_([CarrierState.LIVE.value, CarrierState.PENDING.value]),
        Carrier.holder.is_(None),
        Carrier.asleep_at.is_(None),
        Carrier.resting_since.is_(None),
        Carrier.created_at < func.now() - waited,
        Batch.qpu == qpu,
    )
    return [_value(*row) for row in (await session.execute(query.limit(limit))).tuples()]


async def find(session: AsyncSession, carrier_id: UUID) -> Carriage:
    rows = await session.execute(_carriages().where(Carrier.id == carrier_id))
    return _value(*rows.tuples().one())


_AT_QPU = text(
    """
    SELECT id FROM jobs j JOIN qpus q ON q.name = j.qpu
    WHERE id = ANY(:jobs) AND state = 'waiting' AND CAST(q.device ->> 'outside_effects' AS boolean)
    """
)


async def begin(
    session: AsyncSession, batch_id: UUID, flow_run_id: UUID | None, holder: str
) -> UUID:
    """Take up the batch as its carrier.

    A pending carrier is adopted: the run may start before its creator has noted it. A run that
    starts again gets a new carrier, so that its former process, should it live, writes no more.
    Raises `CarrierLost` when another run carries the batch.
    """
    await batches.lock(session, batch_id)
    carrier = await _current(session, batch_id)
    if carrier is None or carrier.flow_run_id not in (None, flow_run_id):
        raise CarrierLost(f"Batch {batch_id} is carried by another run")
    if carrier.holder is not None:
        await _give_up(session, carrier.id, "its run was started again")
        await replace(session, batch_id, flow_run_id)
        carrier = await _current(session, batch_id)
        assert carrier is not None
    carrier.state = CarrierState.LIVE.value
    carrier.flow_run_id = flow_run_id
    carrier.holder = holder
    carrier.heartbeat_at = func.now()
    carrier.asleep_at = carrier.resting_since = None
    await session.flush()
    return carrier.id


async def _current(session: AsyncSession, batch_id: UUID) -> Carrier | None:
    return await session.scalar(
        select(Carrier)
        .where(
            Carrier.batch_id == batch_id,
            Carrier.state.in_([CarrierState.PENDING.value, CarrierState.LIVE.value]),
        )
        .with_for_update()
    )


async def beat(session: AsyncSession, carrier_id: UUID) -> None:
    alive = await session.scalar(
        update(Carrier)
        .where(Carrier.id == carrier_id, Carrier.state == CarrierState.LIVE.value)
        .values(heartbeat_at=func.now())
        .returning(Carrier.id)
    )
    if alive is None:
        raise lost(carrier_id)


async def wait_again(session: AsyncSession, carrier_id: UUID) -> None:
    """Its run has left its seat to others and comes back for its jobs: nobody shall miss it."""
    await session.execute(
        update(Carrier)
        .where(Carrier.id == carrier_id, Carrier.state == CarrierState.LIVE.value)
        .values(holder=None, heartbeat_at=None)
    )
    await release_leases(session, [carrier_id])


async def rest(session: AsyncSession, principal: Principal, carrier: Carriage) -> None:
    """Its run was suspended: its jobs wait until somebody resumes it, and no others with them."""
    if not await is_current(session, carrier):
        return
    await wait_again(session, carrier.id)
    await session.execute(
        update(Carrier)
        .where(Carrier.id == carrier.id, Carrier.state == CarrierState.LIVE.value)
        .values(resting_since=func.now())
    )
    await batches.close(session, carrier.batch_id)
    await batches.put_back(session, principal, carrier.batch_id, "Its run was suspended")


async def wake(session: AsyncSession, flow_run_id: UUID) -> bool:
    """The run is there to be started. Whether it is a carrier, and nobody has begun it."""
    found = await session.scalar(
        update(Carrier)
        .where(
            Carrier.flow_run_id == flow_run_id,
            Carrier.state == CarrierState.LIVE.value,
            Carrier.holder.is_(None),
        )
        .values(resting_since=None, asleep_at=None)
        .returning(Carrier.id)
    )
    return found is not None


async def is_resting(session: AsyncSession, batch_id: UUID) -> bool:
    resting = select(Carrier.id).where(
        Carrier.batch_id == batch_id,
        Carrier.state == CarrierState.LIVE.value,
        Carrier.resting_since.is_not(None),
    )
    return await session.scalar(resting) is not None


async def finish(session: AsyncSession, carrier_id: UUID) -> None:
    """Done. A job that was queued again since the batch was closed gets another carrier."""
    batch_id = await session.scalar(select(Carrier.batch_id).where(Carrier.id == carrier_id))
    if batch_id is None:
        return
    await batches.lock(session, batch_id)
    done = await session.scalar(
        update(Carrier)
        .where(Carrier.id == carrier_id, Carrier.state == CarrierState.LIVE.value)
        .values(state=CarrierState.DONE.value)
        .returning(Carrier.id)
    )
    await release_leases(session, [carrier_id])
    if done is not None and await batches.has_queued(session, batch_id):
        await replace(session, batch_id)


async def is_current(session: AsyncSession, carrier: Carriage) -> bool:
    """Under the batch's lock, so that it stays true for the rest of the transaction."""
    await batches.lock(session, carrier.batch_id)
    current = await _current(session, carrier.batch_id)
    return current is not None and current.id == carrier.id


async def lose(
    session: AsyncSession,
    principal: Principal,
    carrier: Carriage,
    reason: str,
    max_lost: int | None,
) -> set[UUID]:
    """Give up a carrier and put its unfinished jobs into a new one.

    A job that the QPU may have accepted keeps its state: the next carrier asks, and does not
    submit again. A job that has lost `max_lost` carriers fails with the reason, unless it may
    have run: then it is ambiguous; or a QPU outside of us has it: then it is asked for ever more
    seldom. A batch that is left without a carrier is closed: a later job would wait in it for
    nobody.

    `max_lost` None: the jobs have no part in it, and it counts for none. Returns the jobs that
    were given up.
    """
    await batches.lock(session, carrier.batch_id)
    if not await _give_up(session, carrier.id, reason):
        return set()
    hopeless = await _count_loss(session, carrier.batch_id, max_lost)
    at_qpu = await _at_qpu(session, hopeless)
    hopeless -= at_qpu
    why = f"Given up after {max_lost} carriers; the last one: {reason}"
    await events.move(
        session, principal, hopeless, JobState.AMBIGUOUS, reason=why, sources=[JobState.RUNNING]
    )
    sources = [JobState.QUEUED, JobState.PREPARING, JobState.WAITING]
    await events.move(session, principal, hopeless, JobState.FAILED, reason=why, sources=sources)
    unfinished = await batches.unfinished(session, carrier.batch_id)
    if not unfinished:
        await batches.close(session, carrier.batch_id)
        return hopeless
    await events.move(
        session,
        principal,
        unfinished,
        JobState.QUEUED,
        reason=f"Taken back: {reason}",
        sources=[JobState.PREPARING],
    )
    if set(unfinished) != at_qpu:
        await replace(session, carrier.batch_id)
    return hopeless


async def _at_qpu(session: AsyncSession, job_ids: Collection[UUID]) -> set[UUID]:
    """Those whose result is, or will be, where no carrier of ours can lose it."""
    return set(await session.scalars(_AT_QPU, {"jobs": list(job_ids)})) if job_ids else set()


async def _count_loss(session: AsyncSession, batch_id: UUID, max_lost: int | None) -> set[UUID]:
    """One more for each job that was begun, or for all if none was; for whom it was the last.

    What kills carriers is among the jobs that they were at work on; those behind it in the batch
    shall not fail with it.
    """
    if max_lost is None:
        return set()
    begun = await batches.begun(session, batch_id)
    suspects = JobRow.id.in_(begun) if begun else JobRow.finished_at.is_(None)
    counted = await session.execute(
        update(JobRow)
        .where(JobRow.batch_id == batch_id, suspects)
        .values(carriers_lost=JobRow.carriers_lost + 1)
        .returning(JobRow.id, JobRow.carriers_lost)
    )
    return {job_id for job_id, lost in counted.tuples() if lost >= max_lost}


async def _give_up(session: AsyncSession, carrier_id: UUID, reason: str) -> bool:
    lost = await session.scalar(
        update(Carrier)
        .where(
            Carrier.id == carrier_id,
            Carrier.state.in_([CarrierState.LIVE.value, CarrierState.PENDING.value]),
        )
        .values(state=CarrierState.LOST.value, lost_because=reason)
        .returning(Carrier.id)
    )
    if lost is not None:
        await release_leases(session, [carrier_id])
    return lost is not None


async def replace(session: AsyncSession, batch_id: UUID, flow_run_id: UUID | None = None) -> None:
    """The batch's next carrier: a run that exists already, or one to be created.

    Nothing happens where it has one: somebody else was first.
    """
    last = select(func.max(Carrier.number)).where(Carrier.batch_id == batch_id)
    await session.execute(
        insert(Carrier)
        .values(
            id=uuid4(),
            batch_id=batch_id,
            number=last.scalar_subquery() + 1,
            state=(CarrierState.LIVE if flow_run_id else CarrierState.PENDING).value,
            flow_run_id=flow_run_id,
        )
        .on_conflict_do_nothing()
    )
    if flow_run_id is None:
        qpu = select(Batch.qpu).where(Batch.id == batch_id).scalar_subquery()
        await session.execute(select(func.pg_notify(Channel.OUTBOX.value, qpu)))


async def belongs(session: AsyncSession, batch_id: UUID, flow_run_id: UUID) -> bool:
    """Whether the run is, or was, a carrier of the batch."""
    found = await session.scalar(
        select(Carrier.id)
        .where(Carrier.batch_id == batch_id, Carrier.flow_run_id == flow_run_id)
        .limit(1)
    )
    return found is not None


async def release_leases(session: AsyncSession, carrier_ids: Collection[UUID]) -> None:
    await session.execute(
        update(Lease)
        .where(Lease.carrier_id.in_(carrier_ids), Lease.released_at.is_(None))
        .values(released_at=func.now())
    )


def _carriages():
    return (
        select(
            Carrier.id,
            Carrier.batch_id,
            Batch.kind,
            Batch.qpu,
            Batch.user,
            Carrier.number,
            Carrier.flow_run_id,
            Carrier.holder,
        )
        .join(Batch, Batch.id == Carrier.batch_id)
        .order_by(Carrier.created_at)
    )


def _value(
    carrier_id: UUID,
    batch_id: UUID,
    kind: str,
    qpu: str,
    user: str,
    number: int,
    flow_run_id: UUID | None,
    holder: str | None,
) -> Carriage:
    return Carriage(carrier_id, batch_id, BatchKind(kind), qpu, user, number, flow_run_id, holder)
