"""Jobs that nobody began by their latest start: they fail, say so, and cost nothing.

Those that a carrier has begun it ends itself, when it hears that their turn has not come.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.job import JobState
from qpuflow.domain.policy import missed
from qpuflow.domain.principal import Principal
from qpuflow.ledger import batches, events
from qpuflow.ledger.schema import JobRow

AT_ONCE = 50
"""Batches: what is left over is looked at again a moment later."""
UNBEGUN = (JobState.QUEUED, JobState.UNAPPROVED)
_MISSED = (
    JobRow.start_by < func.clock_timestamp(),
    JobRow.state.in_([state.value for state in UNBEGUN]),
)


async def affected(session: AsyncSession, qpu: str | None = None) -> Sequence[UUID]:
    """Batches with such jobs: of one QPU, or of all."""
    query = select(JobRow.batch_id).where(*_MISSED).distinct().limit(AT_ONCE)
    if qpu is not None:
        query = query.where(JobRow.qpu == qpu)
    return (await session.scalars(query)).all()


_DISMISS = text(
    """
    UPDATE carriers SET state = 'done'
    WHERE batch_id = :batch AND state IN ('pending', 'live') AND holder IS NULL
      AND NOT EXISTS (SELECT FROM jobs WHERE batch_id = :batch AND finished_at IS NULL)
    RETURNING id, flow_run_id
    """
)


async def end(
    session: AsyncSession, principal: Principal, batch_id: UUID
) -> tuple[UUID | None, str]:
    """Fail the batch's. Returns the run that has nothing left to carry, if any, and why."""
    await batches.lock(session, batch_id)
    rows = await session.execute(
        select(JobRow.start_by, JobRow.id).where(JobRow.batch_id == batch_id, *_MISSED)
    )
    alike = defaultdict[datetime, list[UUID]](list)
    for start_by, job_id in rows.tuples():
        assert start_by is not None
        alike[start_by].append(job_id)
    if not alike:
        return None, ""
    reason = ""
    for start_by, job_ids in sorted(alike.items()):
        reason = missed(start_by)
        await events.move(
            session, principal, job_ids, JobState.FAILED, reason=reason, sources=UNBEGUN
        )
    carrier = (await session.execute(_DISMISS, {"batch": batch_id})).one_or_none()
    if carrier is None:
        return None, reason
    await batches.close(session, batch_id)
    return carrier.flow_run_id, reason
