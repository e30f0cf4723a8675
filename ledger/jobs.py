"""Accepting, finding and cancelling jobs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Select, Text, cast, false, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.errors import Conflict, NotFound
from qpuflow.domain.job import OPEN, Job, JobState
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import Scope
from qpuflow.domain.request import JobRequest, ProgramFormat
from qpuflow.ledger import accounts, batches, carriers, controls, events, reservations
from qpuflow.ledger.batches import CarriedBy
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.job_values import value_of
from qpuflow.ledger.payload_store import Stored
from qpuflow.ledger.schema import JobEvent, JobRow, ProgramRow


@dataclass(frozen=True, slots=True)
class AcceptedProgram:
    """A program that has been parsed, with the place of its source."""

    name: str
    format: ProgramFormat
    source: Stored
    parameters: list[dict[str, float]]
    observables: dict[str, dict[str, float]]
    num_qubits: int
    num_clbits: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a submission. `batch_id` says who carries the job."""

    job_id: UUID
    batch_id: UUID
    is_new: bool


@dataclass(frozen=True, slots=True)
class Submission:
    """All that is written when a job is accepted."""

    request: JobRequest
    qpu: str
    key: str
    programs: Sequence[AcceptedProgram]
    estimate_seconds: float

    @property
    def content_hash(self) -> str:
        return self.request.content_hash(self.qpu)


async def accept(
    ledger: Ledger, principal: Principal, submission: Submission, flow_run_id: UUID | None = None
) -> Accepted:
    """Write the job, or find the one that the same user submitted under the same key.

    With `flow_run_id` the job travels alone in that run; without, it joins the user's open batch.
    Raises `Conflict` when the key stands for other content, and `QuotaExceeded`.
    """
    carried_by = CarriedBy(submission.qpu, principal.user, principal.project, flow_run_id)
    for _ in range(2):
        try:
            async with ledger.begin() as session:
                known = await _by_key(session, principal, submission)
                return known or await _write(ledger, session, principal, submission, carried_by)
        except IntegrityError as error:
            # Another process wrote the same key between our look and our insert.
            if "uq_jobs_user_key" not in str(error.orig):
                raise
    raise Conflict(f"Key {submission.key!r} is being used by another submission")


async def _by_key(
    session: AsyncSession, principal: Principal, submission: Submission
) -> Accepted | None:
    row = (
        await session.execute(
            select(JobRow.id, JobRow.batch_id, JobRow.content_hash).where(
                JobRow.user == principal.user, JobRow.key == submission.key
            )
        )
    ).one_or_none()
    if row is None:
        return None
    if row.content_hash != submission.content_hash:
        raise Conflict(
            f"Key {submission.key!r} already stands for job {row.id}, which has other content",
            remedy="Use a new key, or submit exactly what was submitted before.",
        )
    return Accepted(row.id, row.batch_id, is_new=False)


async def _write(
    ledger: Ledger,
    session: AsyncSession,
    principal: Principal,
    submission: Submission,
    carried_by: CarriedBy,
) -> Accepted:
    await accounts.require_member(session, principal)
    await controls.require_accepting(session, submission.qpu)
    await ledger.payloads.record(session, [program.source for program in submission.programs])
    batch_id = await batches.join(session, carried_by)
    job_id = uuid4()
    await session.execute(insert(JobRow).values(_job(job_id, batch_id, principal, submission)))
    await session.execute(
        insert(ProgramRow),
        [_program(job_id, i, program) for i, program in enumerate(submission.programs)],
    )
    # Last, since others of the project wait from here to the commit.
    scope = Scope(principal.project, submission.qpu)
    estimate = submission.estimate_seconds
    await reservations.accept(session, principal, job_id, scope, estimate)
    return Accepted(job_id, batch_id, is_new=True)


def _job(
    job_id: UUID, batch_id: UUID, principal: Principal, submission: Submission
) -> dict[str, object]:
    return {
        "id": job_id,
        "user": principal.user,
        "project": principal.project,
        "qpu": submission.qpu,
        "key": submission.key,
        "content_hash": submission.content_hash,
        "state": JobState.QUEUED.value,
        "shots": submission.request.shots,
        "options": submission.request.options.model_dump(mode="json"),
        "program_count": len(submission.programs),
        "batch_id": batch_id,
        "estimate_seconds": submission.estimate_seconds,
    }


def _program(job_id: UUID, position: int, program: AcceptedProgram) -> dict[str, object]:
    return {
        "job_id": job_id,
        "position": position,
        "name": program.name,
        "format": program.format.value,
        "source_hash": program.source.hash,
        "parameters": program.parameters,
        "observables": program.observables,
        "num_qubits": program.num_qubits,
        "num_clbits": program.num_clbits,
    }


async def find(session: AsyncSession, principal: Principal, job_id: UUID) -> Job:
    """A job that the principal may see; `NotFound` for any other, known or not."""
    return visible(principal, job_id, await session.get(JobRow, job_id))


def visible(principal: Principal, job_id: UUID, row: JobRow | None) -> Job:
    """The row's job; `NotFound` where there is none, and where it is not for the principal."""
    if row is None or not principal.may_see(row.user):
        raise NotFound(f"There is no job {job_id} of yours", remedy="See `qpuflow jobs`.")
    return value_of(row)


async def history(session: AsyncSession, principal: Principal, job_id: UUID) -> list[JobEvent]:
    """Everything that happened to the job, oldest first."""
    await find(session, principal, job_id)
    rows = await session.scalars(
        select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id)
    )
    return list(rows)


async def resolve(session: AsyncSession, principal: Principal, text: str) -> UUID:
    """A job's id from its first characters, its full id, or its key."""
    matches = list(
        await session.scalars(
            _visible(principal)
            .with_only_columns(JobRow.id)
            .where((JobRow.key == text) | _begins_with(text.lower()))
            .limit(3)
        )
    )
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise NotFound(f"Several jobs begin with {text!r}", remedy="Give more characters.")
    raise NotFound(f"There is no job {text!r} of yours", remedy="See `qpuflow jobs`.")


async def recent(
    session: AsyncSession, principal: Principal, *, qpu: str | None = None, limit: int = 50
) -> list[Job]:
    """The newest jobs that the principal may see."""
    query = _visible(principal).order_by(JobRow.number.desc()).limit(limit)
    if qpu is not None:
        query = query.where(JobRow.qpu == qpu)
    return [value_of(row) for row in await session.scalars(query)]


async def states(
    session: AsyncSession, principal: Principal, job_ids: Sequence[UUID]
) -> dict[UUID, JobState]:
    """The states of those of the jobs that the principal may see."""
    rows = await session.execute(
        _visible(principal).with_only_columns(JobRow.id, JobRow.state).where(JobRow.id.in_(job_ids))
    )
    return {job_id: JobState(state) for job_id, state in rows.tuples()}


async def request_cancel(session: AsyncSession, principal: Principal, job_id: UUID) -> JobState:
    """Cancel a queued job at once; ask the carrier of any other to. Returns the state after."""
    job = await find(session, principal, job_id)
    if job.state.is_final:
        return job.state
    await session.execute(
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.finished_at.is_(None))
        .values(cancel_requested_at=func.coalesce(JobRow.cancel_requested_at, func.now()))
    )
    await events.move(
        session,
        principal,
        [job_id],
        JobState.CANCELLED,
        reason=f"Cancelled by {principal.user}",
        sources=[JobState.QUEUED],
    )
    state = await session.scalar(select(JobRow.state).where(JobRow.id == job_id))
    return JobState(state)


async def request_cancel_all(
    session: AsyncSession, principal: Principal, job_ids: Collection[UUID]
) -> None:
    """For a part of ours: have the carriers of these jobs cancel them."""
    principal.require_operator("cancel other people's jobs")
    await session.execute(
        update(JobRow)
        .where(JobRow.id.in_(job_ids), JobRow.finished_at.is_(None))
        .values(cancel_requested_at=func.coalesce(JobRow.cancel_requested_at, func.now()))
    )


async def asked_to_cancel(session: AsyncSession, job_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the jobs that somebody wants cancelled and that have not ended."""
    return set(
        await session.scalars(
            select(JobRow.id).where(
                JobRow.id.in_(job_ids),
                JobRow.cancel_requested_at.is_not(None),
                JobRow.state.in_([state.value for state in OPEN]),
            )
        )
    )


async def retry(
    session: AsyncSession, principal: Principal, job_id: UUID, flow_run_id: UUID | None = None
) -> None:
    """A new attempt of a failed job, asked for by a person.

    It travels in its batch's carrier; where there is none any more, in the run of that id, or in
    one to be created. Raises `QuotaExceeded` when the project has too little left by now.
    """
    job = await find(session, principal, job_id)
    await batches.lock(session, job.batch_id)
    await events.require_move(
        session, principal, [job_id], JobState.QUEUED, reason=f"Retried by {principal.user}"
    )
    await next_attempt(session, [job_id])
    await session.execute(
        update(JobRow).where(JobRow.id == job_id).values(cancel_requested_at=None, carriers_lost=0)
    )
    await carriers.replace(session, job.batch_id, flow_run_id)
    scope = Scope(job.project, job.qpu)
    await reservations.reserve(session, job_id, scope, job.estimate_seconds)


async def next_attempt(session: AsyncSession, job_ids: Collection[UUID]) -> None:
    """From now on another token stands for these jobs: the last one led to nothing."""
    await session.execute(
        update(JobRow).where(JobRow.id.in_(job_ids)).values(attempt=JobRow.attempt + 1)
    )


def _begins_with(text: str) -> ColumnElement[bool]:
    return cast(JobRow.id, Text).startswith(text, autoescape=True) if text else false()


def _visible(principal: Principal) -> Select[tuple[JobRow]]:
    query = select(JobRow)
    return query if principal.is_operator else query.where(JobRow.user == principal.user)
