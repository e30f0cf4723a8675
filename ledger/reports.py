"""A job with its results, as a user sees it."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from sqlalchemy import bindparam, select

from qpuflow.domain.job import Job, JobState
from qpuflow.domain.policy import PolicyRules
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import QPU_SECONDS
from qpuflow.domain.report import CostReport, EventReport, JobReport, report_of
from qpuflow.ledger import arbiter, jobs
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.dataset_codec import decode
from qpuflow.ledger.schema import Charge, JobEvent, JobRow, Payload, ResultRow

_READ = (
    select(JobRow, Payload, Charge)
    .outerjoin(ResultRow, ResultRow.job_id == JobRow.id)
    .outerjoin(Payload, Payload.hash == ResultRow.payload_hash)
    .outerjoin(Charge, Charge.job_id == JobRow.id)
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
        for _, payload, _ in rows
        if payload is not None  # pyright: ignore[reportUnnecessaryComparison]  an outer join
    ]
    return report_of(job, datasets, cost=_cost(job, rows[0][2]))


async def status(
    ledger: Ledger, principal: Principal, job_id: UUID, rules: PolicyRules
) -> JobReport:
    """The job and its history, without results; why it waits, and until when, while it does."""
    async with ledger.begin() as session:
        job = await jobs.find(session, principal, job_id)
        history = await jobs.history(session, principal, job_id)
        wait = await arbiter.forecast(session, rules, job_id)
        cost = _cost(job, await session.get(Charge, job_id))
    return report_of(job, events=[_event(one) for one in history], wait=wait, cost=cost)


def _cost(job: Job, charge: Charge | None) -> CostReport | None:
    """None where nobody charges for more than time, which has a rate at most."""
    unit = job.cost_unit or (charge.unit if charge else None)
    if unit is None or (unit == QPU_SECONDS and not (charge and charge.credits)):
        return None
    return CostReport(
        unit=unit,
        estimated=_number(job.estimate_cost),
        charged=_number(charge.cost if charge.unit != QPU_SECONDS else charge.seconds)
        if charge
        else None,
        credits=_number(charge.credits) if charge else None,
    )


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def _event(event: JobEvent) -> EventReport:
    return EventReport(
        at=event.at,
        actor=event.actor,
        via=event.via,
        from_state=JobState(event.from_state) if event.from_state else None,
        to_state=JobState(event.to_state),
        detail=event.detail,
    )
