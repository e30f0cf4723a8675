"""Accepting jobs: all that is written when a submission becomes durable."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.errors import Conflict, InputError
from qpuflow.domain.policy import missed
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import Scope
from qpuflow.ledger import accounts, at_once, batches, reservations
from qpuflow.ledger.batches import CarriedBy
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.new_jobs import INSERTED, Submission, inserting
from qpuflow.ledger.payload_store import Stored
from qpuflow.ledger.preconditions import KeyedJob, ask


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a submission. `batch_id` says who carries the job."""

    job_id: UUID
    batch_id: UUID
    is_new: bool


async def accept(
    ledger: Ledger, principal: Principal, submission: Submission, flow_run_id: UUID | None = None
) -> Accepted:
    """Write the job, or find the one that the same user submitted under the same key.

    With `flow_run_id` the job travels alone in that run; without, it joins the user's open batch.
    Raises `Conflict` when the key stands for other content, `InputError` when a new job's latest
    start has passed, and `QuotaExceeded`.
    """
    (accepted,) = await accept_all(ledger, principal, [submission], flow_run_id)
    return accepted


async def accept_all(
    ledger: Ledger,
    principal: Principal,
    submissions: Sequence[Submission],
    flow_run_id: UUID | None = None,
) -> list[Accepted]:
    """As `accept`, for many in one transaction: all of them, or none."""
    for _ in range(2):
        try:
            accepted = await _at_once(ledger, principal, submissions, flow_run_id)
            if accepted is None:
                async with ledger.begin() as session:
                    accepted = await _accept(ledger, session, principal, submissions, flow_run_id)
            return [accepted[submission.key] for submission in submissions]
        except IntegrityError as error:
            # Another process wrote the same key between our look and our insert.
            if "uq_jobs_user_key" not in str(error.orig):
                raise
    raise Conflict("A key is being used by another submission")


async def _at_once(
    ledger: Ledger,
    principal: Principal,
    submissions: Sequence[Submission],
    flow_run_id: UUID | None,
) -> dict[str, Accepted] | None:
    """None where there may be something in the way."""
    fresh, sources = _fresh(submissions, {}), _sources(submissions)
    if flow_run_id or any(one.url for one in sources) or any(one.request.start_by for one in fresh):
        return None
    carried_by, *others = _groups(fresh, principal, None)
    if others:
        return None
    jobs = {uuid4(): one for one in fresh}
    async with ledger.look() as session:
        recorded = await ledger.payloads.to_record(session, sources)
        batch_id = await at_once.write(session, principal, carried_by, jobs, recorded)
    if batch_id is None:
        return None
    return {one.key: Accepted(job_id, batch_id, is_new=True) for job_id, one in jobs.items()}


def _sources(submissions: Sequence[Submission]) -> list[Stored]:
    return [one.source for submission in submissions for one in submission.programs]


async def _accept(
    ledger: Ledger,
    session: AsyncSession,
    principal: Principal,
    submissions: Sequence[Submission],
    flow_run_id: UUID | None,
) -> dict[str, Accepted]:
    qpus, keys = {one.qpu for one in submissions}, [one.key for one in submissions]
    recorded = await ledger.payloads.to_record(session, _sources(submissions))
    met = await ask(session, principal, qpus, keys, recorded)
    fresh = _fresh(submissions, met.known)
    known = {key: Accepted(job.id, job.batch_id, is_new=False) for key, job in met.known.items()}
    if not fresh:
        return known
    if not met.is_member:
        await accounts.require_member(session, principal)
    for qpu in dict.fromkeys(one.qpu for one in fresh):
        met.require_accepting(principal, qpu)
    return known | await _write(session, principal, fresh, flow_run_id)


def _fresh(
    submissions: Sequence[Submission], known: Mapping[str, KeyedJob]
) -> Sequence[Submission]:
    """One of each key that nobody has used."""
    fresh: dict[str, Submission] = {}
    for submission in submissions:
        if (job := known.get(submission.key)) is not None:
            if job.content_hash != submission.content_hash:
                raise _other_content(submission.key, f"job {job.id}")
            continue
        first = fresh.setdefault(submission.key, submission)
        if first is not submission and first.content_hash != submission.content_hash:
            raise _other_content(submission.key, "another job of this submission")
    return list(fresh.values())


def _other_content(key: str, what: str) -> Conflict:
    return Conflict(
        f"Key {key!r} already stands for {what}, which has other content",
        remedy="Use a new key, or submit exactly what was submitted before.",
    )


def _groups(
    fresh: Sequence[Submission], principal: Principal, flow_run_id: UUID | None
) -> dict[CarriedBy, list[Submission]]:
    """Those that travel together, in the order in which everybody locks their batches."""
    now, groups = datetime.now(UTC), defaultdict[CarriedBy, list[Submission]](list)
    for one in fresh:
        start_by, start = one.request.start_by, one.request.not_before
        if start_by is not None and start_by <= now:
            raise InputError(missed(start_by), remedy="Give a later one, or none.")
        start = start if start is not None and start > now else None
        groups[CarriedBy(one.qpu, principal.user, principal.project, flow_run_id, start)].append(
            one
        )
    return dict(sorted(groups.items(), key=lambda item: (item[0].qpu, item[0].not_before or now)))


_INSERT = text(f"WITH {INSERTED.format(batch_id='batch_id', condition='')} SELECT")


async def _write(
    session: AsyncSession,
    principal: Principal,
    fresh: Sequence[Submission],
    flow_run_id: UUID | None,
) -> dict[str, Accepted]:
    """After all payloads all batches, then the account book: the order in which others lock."""
    groups = _groups(fresh, principal, flow_run_id)
    accepted: dict[str, Accepted] = {}
    for carried_by, group in groups.items():
        batch_id = await batches.join(session, carried_by, len(group))
        accepted |= {one.key: Accepted(uuid4(), batch_id, is_new=True) for one in group}
    jobs = {accepted[one.key].job_id: one for one in fresh}
    batch_ids = {one.job_id: one.batch_id for one in accepted.values()}
    await session.execute(_INSERT, inserting(principal, jobs, batch_ids))
    # Last, since others of the project wait from here to the commit.
    for qpu in dict.fromkeys(carried_by.qpu for carried_by in groups):
        group = [one for one in fresh if one.qpu == qpu]
        estimates = {accepted[one.key].job_id: one.estimate_seconds for one in group}
        await reservations.accept(session, principal, Scope(principal.project, qpu), estimates)
    return accepted
