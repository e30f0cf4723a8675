"""What operators do to a QPU and its queue. Each says why, and those who wait read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.device import Control
from qpuflow.domain.errors import Conflict, NotFound, Unavailable
from qpuflow.domain.job import JobState
from qpuflow.domain.principal import Principal
from qpuflow.ledger.schema import ControlEvent, JobEvent, JobRow, Qpu

ACTIONS = {
    Control.OPEN: "resume",
    Control.PAUSED: "pause",
    Control.DRAINING: "drain",
    Control.OFFLINE: "take offline",
}


@dataclass(frozen=True, slots=True)
class ControlChange:
    """Who let a QPU do what, when and why."""

    at: datetime
    actor: str
    via: str
    before: Control
    after: Control
    reason: str | None


async def set_control(
    session: AsyncSession, principal: Principal, qpu: str, control: Control, reason: str | None
) -> None:
    """Open, pause, drain or close a QPU. The job that runs is left to end."""
    principal.require_operator(f"{ACTIONS[control]} a QPU")
    row = await _locked(session, qpu)
    before, row.control = row.control, control.value
    said = f"{reason} ({principal.user})" if reason else f"by {principal.user}"
    row.control_reason = None if control is Control.OPEN else said
    await session.execute(
        insert(ControlEvent).values(
            qpu=qpu,
            actor=principal.user,
            via=principal.via,
            from_control=before,
            to_control=control.value,
            reason=reason,
        )
    )


async def _locked(session: AsyncSession, qpu: str) -> Qpu:
    row = await session.scalar(select(Qpu).where(Qpu.name == qpu).with_for_update(key_share=True))
    if row is None:
        raise NotFound(f"There is no QPU {qpu!r}", remedy="See `qpuflow qpus`.")
    return row


async def history(session: AsyncSession, qpu: str, limit: int) -> list[ControlChange]:
    """What operators did to a QPU, the latest first. Who waits may read it."""
    rows = await session.scalars(
        select(ControlEvent)
        .where(ControlEvent.qpu == qpu)
        .order_by(ControlEvent.id.desc())
        .limit(limit)
    )
    return [
        ControlChange(
            row.at,
            row.actor,
            row.via,
            Control(row.from_control),
            Control(row.to_control),
            row.reason,
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Whether a QPU takes jobs, why not, and of which projects; of all where none is named."""

    control: str
    reason: str | None
    projects: Sequence[str]

    def require(self, principal: Principal, qpu: str) -> None:
        """Raises `AccessDenied` where the QPU is not for the principal's project, and
        `Unavailable`, with the operator's reason, while nothing more is accepted.
        """
        principal.require_use(qpu, self.projects)
        if not Control(self.control).accepts:
            raise Unavailable(
                f"{qpu} is {self.control} and takes no jobs: {self.reason}",
                remedy="Use another QPU, see `qpuflow qpus`, or try later.",
            )


async def move_to_front(
    session: AsyncSession, principal: Principal, job_id: UUID, note: str
) -> None:
    """Before all that is not booked. The note stays in the job's history."""
    principal.require_operator("move a job to the front")
    state = await session.scalar(
        select(JobRow.state).where(JobRow.id == job_id).with_for_update(key_share=True)
    )
    if state is None:
        raise NotFound(f"There is no job {job_id}", remedy="See `qpuflow jobs`.")
    if state not in (JobState.QUEUED.value, JobState.PREPARING.value):
        raise Conflict(f"Job {job_id} waits no longer: it is {state}")
    await session.execute(
        update(JobRow).where(JobRow.id == job_id).values(moved_up_at=func.clock_timestamp())
    )
    await session.execute(
        insert(JobEvent).values(
            job_id=job_id,
            actor=principal.user,
            via=principal.via,
            from_state=state,
            to_state=state,
            detail=f"Moved to the front: {note}",
        )
    )
