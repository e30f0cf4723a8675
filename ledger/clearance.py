"""The last look before jobs are handed to a QPU."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.device import Control, stopped
from qpuflow.ledger.live import checked


@dataclass(frozen=True, slots=True)
class Clearance:
    """Whether a carrier may hand jobs over, and which of them it may."""

    is_live: bool
    """It still is its batch's carrier, and will be until the end of the transaction."""
    holds: bool
    """It has the lease, and in time."""
    stopped: str | None
    """Why operators let nothing more start on the QPU, if so."""
    cancelled: frozenset[UUID]
    """Those that somebody wants cancelled."""
    attempted: frozenset[UUID]
    """Those for which an intent was written before, for this attempt or an earlier one."""


# The carrier too: the token of a grant that a crash has undone is given again.
_LOOK = text(
    checked(
        """
    WITH {live}
    SELECT q.control, q.control_reason, live.id IS NOT NULL AS is_live, EXISTS (
        SELECT FROM leases WHERE qpu = q.name AND fencing_token = :token AND carrier_id = :carrier
            AND released_at IS NULL AND expires_at > clock_timestamp()
    ) AS holds, ARRAY(
        SELECT id FROM jobs WHERE id = ANY(:jobs)
            AND cancel_requested_at IS NOT NULL AND finished_at IS NULL
    ) AS cancelled, ARRAY(
        SELECT DISTINCT job_id FROM intents WHERE job_id = ANY(:jobs)
    ) AS attempted
    FROM qpus q LEFT JOIN live ON true WHERE q.name = :qpu
    """
    )
)


async def look(
    session: AsyncSession,
    qpu: str,
    carrier_id: UUID,
    fencing_token: int | None,
    job_ids: Collection[UUID],
) -> Clearance:
    values = {"qpu": qpu, "carrier": carrier_id, "token": fencing_token, "jobs": list(job_ids)}
    row = (await session.execute(_LOOK, values)).one()
    control = Control(row.control)
    reason = None if control.starts else stopped(qpu, control, row.control_reason)
    return Clearance(
        row.is_live, row.holds, reason, frozenset(row.cancelled), frozenset(row.attempted)
    )
