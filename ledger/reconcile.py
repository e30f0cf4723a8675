"""What must be set right when a ledger comes back from a backup into a world that went on."""

from __future__ import annotations

from sqlalchemy import func, literal, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.errors import Conflict
from qpuflow.domain.job import JobState
from qpuflow.domain.principal import service
from qpuflow.ledger import events, intents
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.job_values import value_of
from qpuflow.ledger.payload_store import seconds_ago
from qpuflow.ledger.schema import (
    BookingRow,
    Carrier,
    CarrierState,
    Charge,
    JobRow,
    Lease,
    Payload,
    Qpu,
)

AT_WORK_SECONDS = 60
LONG_SILENT = text("'-infinity'::timestamptz")
WHY = "Restored from a backup: the QPU is asked for it first"


async def require_replaceable(ledger: Ledger, *, overwrite: bool) -> None:
    """Raises `Conflict` when somebody works with the ledger, or it has content to lose."""
    async with ledger.begin() as session:
        at_work = await session.scalar(
            select(func.count())
            .select_from(Carrier)
            .where(
                Carrier.state == CarrierState.LIVE.value,
                Carrier.heartbeat_at > seconds_ago(AT_WORK_SECONDS),
            )
        )
        owned = [
            table.__tablename__
            for table in (JobRow, Charge, BookingRow)
            if await session.scalar(select(literal(1)).select_from(table).limit(1))
        ]
    if at_work:
        raise Conflict(
            f"{at_work} runs are working with this ledger",
            remedy="Stop the workers, wait a minute, and restore again.",
        )
    if owned and not overwrite:
        raise Conflict(
            f"This ledger is not empty: it has {' and '.join(owned)}",
            remedy="Restore into a new installation, or say that it may be overwritten.",
        )


async def after_restore(ledger: Ledger) -> None:
    """Carriers are gone, tokens were given out since, and so may jobs have been."""
    async with ledger.begin() as session:
        await _payloads_moved(session, ledger.payloads.url)
        await _tokens_grow_on(session)
        await _carriers_are_gone(session)
        await _jobs_may_have_been_handed_over(session)


async def _payloads_moved(session: AsyncSession, url: str) -> None:
    place = literal(f"{url}/") + func.left(Payload.hash, 2) + "/" + Payload.hash
    await session.execute(update(Payload).where(Payload.url.is_not(None)).values(url=place))


async def _tokens_grow_on(session: AsyncSession) -> None:
    """A rack remembers the highest fencing token it saw: milliseconds are above all of them."""
    now = func.floor(func.extract("epoch", func.now()) * 1000)
    token = func.greatest(Qpu.fencing_token, now)
    await session.execute(update(Qpu).values(fencing_token=token))
    await session.execute(
        update(Lease).where(Lease.released_at.is_(None)).values(released_at=func.now())
    )


async def _carriers_are_gone(session: AsyncSession) -> None:
    """The reaper finds those that had begun silent, replaces them and tells Prefect."""
    await session.execute(
        update(Carrier)
        .where(Carrier.state == CarrierState.LIVE.value, Carrier.heartbeat_at.is_not(None))
        .values(heartbeat_at=LONG_SILENT)
    )


async def _jobs_may_have_been_handed_over(session: AsyncSession) -> None:
    """After the backup was taken, where nobody can tell any more; so an intent says it may be."""
    rows = await session.scalars(
        select(JobRow)
        .join(Qpu, Qpu.name == JobRow.qpu)
        .where(
            JobRow.state.in_([JobState.QUEUED.value, JobState.PREPARING.value]),
            Qpu.device["outside_effects"].as_boolean(),
        )
    )
    jobs = [value_of(row) for row in rows]
    ids = [job.id for job in jobs]
    restorer = service("restore")
    await events.move(session, restorer, ids, JobState.PREPARING, reason=WHY)
    unknown = intents.written(jobs, ["unknown"] * len(jobs), fencing_token=0)
    await events.require_move(session, restorer, ids, JobState.RUNNING, reason=WHY, besides=unknown)
