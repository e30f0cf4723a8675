"""A job with its results, as a user sees it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.dialects.postgresql import JSONB

from qpuflow.domain.job import Job, JobState
from qpuflow.domain.policy import PolicyRules
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import QPU_SECONDS
from qpuflow.domain.report import CostReport, EventReport, JobReport, report_of
from qpuflow.ledger import arbiter, jobs
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.dataset_codec import decode
from qpuflow.ledger.schema import Charge, JobEvent

# As text: a loop waits for it.
_READ = text(
    """
    SELECT j.*, payload_hash, p.body, p.url,
        c.unit AS charge_unit, c.cost, c.seconds, c.credits
    FROM jobs j LEFT JOIN results r ON r.job_id = j.id
    LEFT JOIN payloads p ON p.hash = payload_hash
    LEFT JOIN charges c ON c.job_id = j.id
    WHERE j.id = :job ORDER BY r.position
    """
).columns(options=JSONB, timings=JSONB)


class _Charged(NamedTuple):
    unit: str
    cost: Decimal
    seconds: Decimal
    credits: Decimal | None


async def read(ledger: Ledger, principal: Principal, job_id: UUID) -> JobReport:
    """The job and, once it has completed, its results. One round trip: loops wait for it."""
    async with ledger.look() as session:
        rows = (await session.execute(_READ, {"job": job_id})).all()
    job = jobs.visible(principal, job_id, rows[0] if rows else None)
    datasets = [
        decode(await ledger.payloads.content(one.payload_hash, one.body, one.url), indexed=False)
        for one in rows
        if one.payload_hash is not None
    ]
    return report_of(job, datasets, cost=_cost(job, _charged(rows[0])))


def _charged(row: Row[Any]) -> _Charged | None:
    if row.charge_unit is None:
        return None
    return _Charged(row.charge_unit, row.cost, row.seconds, row.credits)


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


def _cost(job: Job, charge: Charge | _Charged | None) -> CostReport | None:
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
