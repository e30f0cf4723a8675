"""What an operator decides about a job of which nobody knows whether the QPU accepted it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.errors import Conflict
from qpuflow.domain.job import Job, JobState
from qpuflow.domain.principal import Principal
from qpuflow.ledger import batches, carriers, events, intents, jobs
from qpuflow.ledger.events import NOTHING, Besides
from qpuflow.ledger.schema import Carrier, CarrierState, IntentState


class Answer(StrEnum):
    ACCEPTED = "accepted"
    """It is at the QPU; its result is fetched."""
    NOT_ACCEPTED = "not accepted"
    """It is not; it is handed over again, as a new attempt."""
    GIVEN_UP = "given up"
    """Whatever became of it, it fails."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """`remote_id` is the QPU's own for a job that it accepted. The note stays in the history."""

    answer: Answer
    note: str
    remote_id: str = ""


AFTER = {
    Answer.ACCEPTED: JobState.WAITING,
    Answer.NOT_ACCEPTED: JobState.QUEUED,
    Answer.GIVEN_UP: JobState.FAILED,
}


async def settle(
    session: AsyncSession, principal: Principal, job_id: UUID, settlement: Settlement
) -> None:
    """Raises `Conflict` unless the job is ambiguous and nobody is asking the QPU just now."""
    principal.require_operator("settle a job")
    job = await jobs.find(session, principal, job_id)
    await batches.lock(session, job.batch_id)
    await _require_left_alone(session, job)
    reason = f"Settled as {settlement.answer} by {principal.user}: {settlement.note}"
    moved = await events.move(
        session,
        principal,
        [job_id],
        AFTER[settlement.answer],
        reason=reason,
        sources=[JobState.AMBIGUOUS],
        besides=_ticket(job, settlement),
    )
    if not moved:
        raise Conflict(
            f"Job {job_id} is {job.state}, and only an ambiguous one is to be settled",
            remedy="See `qpuflow status`.",
        )
    await _note(session, job, settlement)
    if settlement.answer is not Answer.GIVEN_UP:
        await carriers.replace(session, job.batch_id)


def _ticket(job: Job, settlement: Settlement) -> Besides:
    if settlement.answer is not Answer.ACCEPTED:
        return NOTHING
    token = intents.token_of(job)
    return intents.accepted([{"token": token, "remote_id": settlement.remote_id, "details": {}}])


async def _note(session: AsyncSession, job: Job, settlement: Settlement) -> None:
    if settlement.answer is Answer.ACCEPTED:
        return
    await intents.mark(session, [intents.token_of(job)], IntentState.REFUSED)
    if settlement.answer is Answer.NOT_ACCEPTED:
        await jobs.next_attempt(session, [job.id])


async def _require_left_alone(session: AsyncSession, job: Job) -> None:
    """What a run learns at this moment must not cross what a person says."""
    at_work = await session.scalar(
        select(Carrier.id).where(
            Carrier.batch_id == job.batch_id,
            Carrier.state == CarrierState.LIVE.value,
            Carrier.heartbeat_at.is_not(None),
        )
    )
    if at_work is not None:
        raise Conflict(
            f"A run is asking {job.qpu} about job {job.id}", remedy="Try again in a minute."
        )
