"""Carriers that sleep: the QPU has all of their jobs, and their run is in no process."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.job import JobState
from qpuflow.ledger.carriers import release_leases
from qpuflow.ledger.schema import Batch, Carrier, CarrierState, Intent, JobRow, TicketRow
from qpuflow.ledger.signals import Channel, tell

PASSED = timedelta(minutes=1)
"""What was asked for longer than this before a run fell asleep it has passed on. It stops looking
some seconds before that, and the QPU may not have answered: to cancel twice does no harm."""


@dataclass(frozen=True, slots=True)
class Sleeper:
    """`is_wanted`: a job of its batch is to be begun, or to be cancelled.

    `is_unapproved`: an operator is asked about one.
    """

    carrier_id: UUID
    batch_id: UUID
    flow_run_id: UUID
    asleep_at: datetime
    is_wanted: bool
    is_unapproved: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A job that the QPU has, and its ticket."""

    job_id: UUID
    remote_id: str
    token: str
    details: dict[str, Any]


async def fall_asleep(session: AsyncSession, carrier_id: UUID) -> None:
    """Its run was suspended. It holds neither a lane nor a seat, and nobody shall miss it."""
    await session.execute(
        update(Carrier)
        .where(Carrier.id == carrier_id, Carrier.state == CarrierState.LIVE.value)
        .values(holder=None, heartbeat_at=None, asleep_at=func.now())
    )
    await release_leases(session, [carrier_id])


async def wake(session: AsyncSession, sleeper: Sleeper, qpu: str) -> None:
    """Its run was resumed: it may be started again, unless it has fallen asleep anew since."""
    await session.execute(
        update(Carrier)
        .where(Carrier.id == sleeper.carrier_id, Carrier.asleep_at == sleeper.asleep_at)
        .values(asleep_at=None)
    )
    await tell(session, Channel.OUTBOX, qpu)


async def sleepers(session: AsyncSession, qpu: str) -> list[Sleeper]:
    slept = Carrier.asleep_at - PASSED
    stirred = exists().where(
        JobRow.batch_id == Carrier.batch_id,
        or_(
            JobRow.state.in_([JobState.QUEUED.value, JobState.PREPARING.value]),
            JobRow.finished_at.is_(None) & (JobRow.cancel_requested_at > slept),
        ),
    )
    unapproved = exists().where(
        JobRow.batch_id == Carrier.batch_id, JobRow.state == JobState.UNAPPROVED.value
    )
    row = (Carrier.id, Carrier.batch_id, Carrier.flow_run_id, Carrier.asleep_at)
    rows = await session.execute(
        select(*row, stirred, unapproved)
        .join(Batch, Batch.id == Carrier.batch_id)
        .where(
            Carrier.asleep_at.is_not(None),
            Carrier.state == CarrierState.LIVE.value,
            Batch.qpu == qpu,
        )
    )
    return [
        Sleeper(carrier, batch, run, since, is_wanted, is_unapproved)
        for carrier, batch, run, since, is_wanted, is_unapproved in rows.tuples()
        if run is not None and since is not None
    ]


async def held(session: AsyncSession, batches: Collection[UUID]) -> dict[UUID, list[Held]]:
    """By batch."""
    rows = await session.execute(
        select(JobRow.batch_id, JobRow.id, TicketRow.remote_id, TicketRow.token, TicketRow.details)
        .join(Intent, (Intent.job_id == JobRow.id) & (Intent.attempt == JobRow.attempt))
        .join(TicketRow, TicketRow.token == Intent.token)
        .where(JobRow.batch_id.in_(batches), JobRow.state == JobState.WAITING.value)
    )
    found: dict[UUID, list[Held]] = {batch: [] for batch in batches}
    for batch, job, remote_id, token, details in rows.tuples():
        found[batch].append(Held(job, remote_id, token, details))
    return found
