"""A job with its results, as a user sees it."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import bindparam, select

from qpuflow.domain.job import JobState
from qpuflow.domain.policy import PolicyRules
from qpuflow.domain.principal import Principal
from qpuflow.domain.report import EventReport, JobReport, report_of
from qpuflow.ledger import arbiter, jobs
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.dataset_codec import decode
from qpuflow.ledger.schema import JobEvent, JobRow, Payload, ResultRow

_READ = (
    select(JobRow, Payload)
    .outerjoin(ResultRow, ResultRow.job_id == JobRow.id)
    .outerjoin(Payload, Payload.hash == ResultRow.payload_hash)
    .where(JobRow.id == bindparam("job"))
    .order_by(ResultRow.position)
)


async def read(ledger: Ledger, principal: Principal, job_id: UUID) -> JobReport:
    """The job and, once it has completed, its results. One round trip: loops wait for it."""
    async with ledger.look() as session:
        rows = (await session.execute(_READ, {"job": job_id})).tuples().all()
    job = jobs.visible(principal, job_id, rows[0][0] if rows else None)
    datasets = [
        decode(await ledger.payloads.content(payload.hash, payload.body, payload.url))
        for _, payload in rows
        if payload is not None  # pyright: ignore[reportUnnecessaryComparison]  an outer join
    ]
    return report_of(job, datasets)


async def status(
    ledger: Ledger, principal: Principal, job_id: UUID, rules: PolicyRules
) -> JobReport:
    """The job and its history, without results; why it waits, and until when, while it does."""
    async with ledger.begin() as session:
        job = await jobs.find(session, principal, job_id)
        history = await jobs.history(session, principal, job_id)
        wait = await arbiter.forecast(session, rules, job_id)
    return report_of(job, events=[_event(one) for one in history], wait=wait)


def _event(event: JobEvent) -> EventReport:
    return EventReport(
        at=event.at,
        actor=event.actor,
        via=event.via,
        from_state=JobState(event.from_state) if event.from_state else None,
        to_state=JobState(event.to_state),
        detail=event.detail,
    )
