"""A job with its results, as a user sees it."""

from __future__ import annotations

from uuid import UUID

from qpuflow.domain.principal import Principal
from qpuflow.domain.report import JobReport, report_of
from qpuflow.ledger import jobs, results
from qpuflow.ledger.database import Ledger


async def read(ledger: Ledger, principal: Principal, job_id: UUID) -> JobReport:
    async with ledger.begin() as session:
        job = await jobs.find(session, principal, job_id)
        datasets = await results.read(ledger, session, job_id) if job.state.is_final else []
    return report_of(job, datasets)
