"""Leases: the right of a carrier to run on a QPU now, with a fencing token that only grows.

Times are the clock's, not the transaction's: one that waited for a lock would judge by a moment
that has passed.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.ledger.schema import Lease, Qpu


async def acquire(
    session: AsyncSession, qpu: str, carrier_id: UUID, lease_seconds: float
) -> int | None:
    """A fencing token if a lane is free, else None. A carrier that has a lease gets that one again.

    The QPU's row lock makes this transaction the only one that decides for it.
    """
    row = await session.scalar(select(Qpu).where(Qpu.name == qpu).with_for_update(key_share=True))
    if row is None:
        return None
    await _end_expired(session, qpu)
    held = await session.execute(
        select(Lease.carrier_id, Lease.fencing_token).where(
            Lease.qpu == qpu, Lease.released_at.is_(None)
        )
    )
    lanes = dict(held.tuples().all())
    if carrier_id in lanes:
        return lanes[carrier_id]
    if len(lanes) >= row.lanes:
        return None
    row.fencing_token += 1
    await session.execute(
        insert(Lease).values(
            qpu=qpu,
            fencing_token=row.fencing_token,
            carrier_id=carrier_id,
            granted_at=func.clock_timestamp(),
            expires_at=_in(lease_seconds),
        )
    )
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
