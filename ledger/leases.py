"""Leases: the right of a carrier to run on a QPU now, with a fencing token that only grows.

Times are the clock's, not the transaction's: one that waited for a lock would judge by a moment
that has passed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.ledger.schema import Lease, Qpu

_QPU = select(Qpu).where(Qpu.name == bindparam("qpu")).with_for_update(key_share=True)
_END_EXPIRED = text(
    """
    UPDATE leases SET released_at = expires_at
    WHERE qpu = :qpu AND released_at IS NULL AND expires_at <= clock_timestamp()
    """
)
_HELD = select(Lease).where(Lease.qpu == bindparam("qpu"), Lease.released_at.is_(None))
# No lane shall be kept for the batch's other jobs: they ask again with the next chunk.
_GRANT = text(
    """
    WITH withdrawn AS (
        UPDATE jobs SET asks_since = NULL FROM carriers c
        WHERE c.id = :carrier AND jobs.batch_id = c.batch_id AND asks_since IS NOT NULL
    ), grown AS (
        UPDATE qpus SET fencing_token = fencing_token + 1 WHERE name = :qpu
        RETURNING name, fencing_token
    )
    INSERT INTO leases
        (qpu, fencing_token, carrier_id, "user", project, granted_at, ends_at, expires_at)
    SELECT grown.name, grown.fencing_token, c.id, b."user", b.project, clock_timestamp(),
        clock_timestamp() + :work, clock_timestamp() + make_interval(secs => :silence)
    FROM grown, carriers c JOIN batches b ON b.id = c.batch_id WHERE c.id = :carrier
    RETURNING fencing_token
    """
)
_EXTEND = text("UPDATE leases SET ends_at = :ends_at WHERE qpu = :qpu AND fencing_token = :token")
_RELEASE = text(
    """
    UPDATE leases SET released_at = clock_timestamp()
    WHERE qpu = :qpu AND fencing_token = :token AND released_at IS NULL
    """
)


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
    return await grant(session, qpu, carrier_id, lease_seconds, timedelta())


async def lock(session: AsyncSession, qpu: str) -> Qpu | None:
    """The QPU's row, so that no other transaction decides for it. What has expired is ended."""
    row = await session.scalar(_QPU, {"qpu": qpu})
    if row is not None:
        # For good, under the row's lock: a renewal either came before this or comes too late.
        await session.execute(_END_EXPIRED, {"qpu": qpu})
    return row


async def held(session: AsyncSession, qpu: str) -> list[Lease]:
    """One a lane in use."""
    return list(await session.scalars(_HELD, {"qpu": qpu}))


async def grant(
    session: AsyncSession, qpu: str, carrier_id: UUID, lease_seconds: float, work: timedelta
) -> int:
    """A lane, under the QPU's lock, and the token that only its holder has."""
    token = await session.scalar(
        _GRANT,
        {"qpu": qpu, "carrier": carrier_id, "work": work, "silence": lease_seconds},
    )
    assert token is not None
    return token


async def extend(session: AsyncSession, qpu: str, fencing_token: int, ends_at: datetime) -> None:
    """For the turn that its holder gets anew: when that is expected to be done."""
    await session.execute(_EXTEND, {"qpu": qpu, "token": fencing_token, "ends_at": ends_at})


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
    await session.execute(_RELEASE, {"qpu": qpu, "token": fencing_token})


def _in(seconds: float):  # pyright: ignore[reportUnknownParameterType]  an SQL expression
    return func.clock_timestamp() + text("make_interval(secs => :seconds)").bindparams(
        seconds=seconds
    )
