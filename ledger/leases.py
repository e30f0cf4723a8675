"""Leases: the right of a carrier to run on a QPU now, with a fencing token that only grows.

Times are the clock's, not the transaction's: one that waited for a lock would judge by a moment
that has passed.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, insert, literal, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.ledger.schema import Batch, Carrier, Lease, Qpu


async def acquire(
    session: AsyncSession, qpu: str, carrier_id: UUID, lease_seconds: float
) -> int | None:
    """A fencing token if a lane is free, else None. A carrier that has a lease gets that one again.

    For work that the QPU has already: nothing is left to decide. New work asks the arbiter.
    """
    row = await lock(session, qpu)
    if row is None:
        return None
    lanes = await held(session, qpu)
    mine = next((lease for lease in lanes if lease.carrier_id == carrier_id), None)
    if mine is not None:
        return mine.fencing_token
    if len(lanes) >= row.lanes:
        return None
    return await grant(session, row, carrier_id, lease_seconds, timedelta())


async def lock(session: AsyncSession, qpu: str) -> Qpu | None:
    """The QPU's row, so that no other transaction decides for it. What has expired is ended."""
    row = await session.scalar(select(Qpu).where(Qpu.name == qpu).with_for_update(key_share=True))
    if row is not None:
        await _end_expired(session, qpu)
    return row


async def held(session: AsyncSession, qpu: str) -> list[Lease]:
    """One a lane in use."""
    return list(
        await session.scalars(select(Lease).where(Lease.qpu == qpu, Lease.released_at.is_(None)))
    )


async def grant(
    session: AsyncSession, row: Qpu, carrier_id: UUID, lease_seconds: float, work: timedelta
) -> int:
    """A lane, under the QPU's lock, and the token that only its holder has."""
    row.fencing_token += 1
    carried = (
        select(
            literal(row.name),
            literal(row.fencing_token),
            Carrier.id,
            Batch.user,
            Batch.project,
            func.clock_timestamp(),
            func.clock_timestamp() + work,
            _in(lease_seconds),
        )
        .join(Batch, Batch.id == Carrier.batch_id)
        .where(Carrier.id == carrier_id)
    )
    columns = ["qpu", "fencing_token", "carrier_id", "user", "project", "granted_at", "ends_at"]
    await session.execute(insert(Lease).from_select([*columns, "expires_at"], carried))
    return row.fencing_token


async def _end_expired(session: AsyncSession, qpu: str) -> None:
    """For good, under the row's lock: a renewal either came before this or comes too late."""
    await session.execute(
        update(Lease)
        .where(
            Lease.qpu == qpu,
            Lease.released_at.is_(None),
            Lease.expires_at <= func.clock_timestamp(),
        )
        .values(released_at=Lease.expires_at)
    )


async def renew(session: AsyncSession, carrier_id: UUID, lease_seconds: float) -> None:
    """Only a lease that still holds: one that has expired may already be somebody else's lane."""
    await session.execute(
        update(Lease)
        .where(
            Lease.carrier_id == carrier_id,
            Lease.released_at.is_(None),
            Lease.expires_at > func.clock_timestamp(),
        )
        .values(expires_at=_in(lease_seconds))
    )


async def release(session: AsyncSession, qpu: str, fencing_token: int) -> None:
    await session.execute(
        update(Lease)
        .where(Lease.qpu == qpu, Lease.fencing_token == fencing_token, Lease.released_at.is_(None))
        .values(released_at=func.clock_timestamp())
    )


async def holds(session: AsyncSession, qpu: str, fencing_token: int) -> bool:
    found = await session.scalar(
        select(Lease.fencing_token).where(
            Lease.qpu == qpu,
            Lease.fencing_token == fencing_token,
            Lease.released_at.is_(None),
            Lease.expires_at > func.clock_timestamp(),
        )
    )
    return found is not None


def _in(seconds: float):  # pyright: ignore[reportUnknownParameterType]  an SQL expression
    return func.clock_timestamp() + text("make_interval(secs => :seconds)").bindparams(
        seconds=seconds
    )
