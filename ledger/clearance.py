"""The last look before jobs are handed to a QPU, and the intents of those that may be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Result, text
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.device import Control, stopped
from qpuflow.domain.job import Job, JobState, sources_of
from qpuflow.domain.principal import Principal
from qpuflow.ledger import events, intents
from qpuflow.ledger.live import checked


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants to hand jobs over, and to which QPU."""

    qpu: str
    carrier_id: UUID
    fencing_token: int | None


@dataclass(frozen=True, slots=True)
class Clearance:
    """Whether a carrier may hand jobs over, and which of them it may."""

    is_live: bool
    """It still was its batch's carrier when this was asked, and what was written with it was."""
    holds: bool
    """It has the lease, and in time."""
    stopped: str | None
    """Why operators let nothing more start on the QPU, if so."""
    cancelled: frozenset[UUID]
    """Those that somebody wants cancelled."""
    attempted: frozenset[UUID]
    """Those for whose current attempt an intent was written before."""
    intended: frozenset[UUID]
    """Those whose intent is written now."""


# The carrier too: the token of a grant that a crash has undone is given again.
_CLEARED = checked("""{live}, cleared AS (
    SELECT q.control, q.control_reason, live.id IS NOT NULL AS is_live, EXISTS (
        SELECT FROM leases
        WHERE qpu = q.name AND fencing_token = :fencing_token AND carrier_id = :carrier
            AND released_at IS NULL AND expires_at > clock_timestamp()
    ) AS holds
    FROM qpus q LEFT JOIN live ON true WHERE q.name = :qpu
)""")
_ANSWER = """
SELECT cleared.*, ARRAY(
    SELECT id FROM {jobs}
    WHERE id = ANY(:jobs) AND cancel_requested_at IS NOT NULL AND finished_at IS NULL
) AS cancelled, ARRAY(
    SELECT i.job_id FROM intents i JOIN jobs j ON j.id = i.job_id AND j.attempt = i.attempt
    WHERE i.job_id = ANY(:jobs)
) AS attempted, {intended} AS intended
FROM cleared
"""
_LOOK = text(f"WITH {_CLEARED}" + _ANSWER.format(jobs="jobs", intended="ARRAY[]::uuid[]"))
# Of a row that is ours we see what was last written to it: who cancels a job at the same moment
# does so before, and it is answered as cancelled, or finds it handed over.
_MAY_BE = """{cleared}, locked AS (
    SELECT j.id, j.state, j.attempt, j.cancel_requested_at, j.finished_at FROM jobs j, cleared
    WHERE j.id = ANY(:jobs) AND cleared.is_live
    ORDER BY j.id FOR UPDATE OF j
), before AS (
    SELECT l.id, l.state FROM locked l, cleared
    WHERE l.state = ANY(:sources) AND l.cancel_requested_at IS NULL
        AND cleared.holds AND cleared.control = ANY(:starting)
        AND NOT EXISTS (SELECT FROM intents i WHERE i.job_id = l.id AND i.attempt = l.attempt)
)"""
_HAND_OVER = events.statement(
    JobState.RUNNING,
    before=_MAY_BE.format(cleared=_CLEARED),
    besides=intents.INTENDED,
    answer=_ANSWER.format(jobs="locked", intended="ARRAY(SELECT id FROM moved)"),
)
_STARTING = [control.value for control in Control if control.starts]


async def look(session: AsyncSession, asked: Asked, job_ids: Collection[UUID]) -> Clearance:
    return _clearance(asked, await session.execute(_LOOK, _values(asked, job_ids)))


async def hand_over(
    session: AsyncSession,
    principal: Principal,
    asked: Asked,
    jobs: Sequence[Job],
    hashes: Sequence[str],
) -> Clearance:
    """RUNNING, with an intent, are all that may be handed over, before the QPU is called: in one
    statement, for which a loop waits with every job.

    `hashes` say what will be handed over of each.
    """
    values = {
        **events.values_of(principal, JobState.RUNNING),
        **intents.values_of(jobs, hashes, asked.fencing_token),
        **_values(asked, [job.id for job in jobs]),
        "sources": events.values_in(sources_of(JobState.RUNNING)),
        "starting": _STARTING,
    }
    return _clearance(asked, await session.execute(_HAND_OVER, values))


def _values(asked: Asked, job_ids: Collection[UUID]) -> dict[str, Any]:
    return {
        "qpu": asked.qpu,
        "carrier": asked.carrier_id,
        "fencing_token": asked.fencing_token,
        "jobs": list(job_ids),
    }


def _clearance(asked: Asked, found: Result[Any]) -> Clearance:
    row = found.one()
    control = Control(row.control)
    return Clearance(
        row.is_live,
        row.holds,
        None if control.starts else stopped(asked.qpu, control, row.control_reason),
        frozenset(row.cancelled),
        frozenset(row.attempted),
        frozenset(row.intended),
    )
