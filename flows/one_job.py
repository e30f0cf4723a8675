"""What a run of `run-circuits` does: one job, from admission to its report."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.runtime import deployment, flow_run

from qpuflow.domain.errors import QpuflowError
from qpuflow.domain.job import JobState
from qpuflow.domain.principal import Principal
from qpuflow.domain.report import JobReport
from qpuflow.domain.request import JobRequest
from qpuflow.domain.settings import Settings
from qpuflow.flows.admitting import principal_of, qpu_of, started_by
from qpuflow.flows.outbox import queued, run_name, run_tags
from qpuflow.flows.resources import default_user, resources
from qpuflow.flows.run_batch import carry_batch
from qpuflow.ledger import carriers, jobs, reports
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.live import CarrierLost
from qpuflow.ledger.submissions import Accepted
from qpuflow.tasks.admission import Journey, admit

WAIT_FOR_OTHER_SECONDS = 0.5
BEFORE_START = timedelta(seconds=3)
"""A worker's run is started later than this; one that is called from Python waits here."""


class JobFailed(QpuflowError):
    """The job ended without a result; the message says why."""


async def run_job(request: JobRequest) -> JobReport:
    """Raises `JobFailed` when the job ends without a result."""
    run_id = UUID(flow_run.get_id())
    qpu = qpu_of(request, deployment.get_name())
    async with resources() as shared:
        ledger, principal = shared.ledger, _principal(request, shared.settings)
        accepted = await admit(ledger, principal, request, Journey(qpu, str(run_id), run_id))
        await _name(run_id, qpu, principal.user, accepted)
        await _retry_if_failed(ledger, principal, accepted, run_id)
        if request.not_before is not None:
            with shared.leaving_the_seat(run_id):
                await _wait_until_due(ledger, principal, accepted.job_id)
        try:
            # A run with one job has nobody to linger for, and another run would be a riddle.
            batch_id = accepted.batch_id
            await carry_batch(shared, batch_id, run_id, linger_seconds=0.0, comes_back=True)
        except CarrierLost:
            with shared.leaving_the_seat(run_id):
                await _wait_for_other(ledger, principal, accepted.job_id)
        report = await reports.read(ledger, principal, accepted.job_id)
    if report.state is JobState.QUEUED:
        # For Prefect, which does not hand it to anybody: only a worker's runs share seats.
        return cast("JobReport", queued())
    if report.state is not JobState.COMPLETED:
        raise JobFailed(f"Job {report.job_id} {report.state.value}: {report.reason}")
    return report


def _principal(request: JobRequest, settings: Settings) -> Principal:
    via = started_by(flow_run.get_tags())
    return principal_of(request, settings, default_user(settings), via)


async def _name(run_id: UUID, qpu: str, user: str, accepted: Accepted) -> None:
    async with get_client() as client:
        name = run_name(qpu, user, f"job {str(accepted.job_id)[:8]}")
        tags = {*flow_run.get_tags(), *run_tags(qpu, user)}
        await client.update_flow_run(run_id, name=name, tags=sorted(tags))


async def _retry_if_failed(
    ledger: Ledger, principal: Principal, accepted: Accepted, run_id: UUID
) -> None:
    """Prefect's retry of a run whose job failed is a new attempt."""
    if accepted.is_new:
        return
    async with ledger.begin() as session:
        job = await jobs.find(session, principal, accepted.job_id)
        if job.state is JobState.FAILED and await carriers.belongs(session, job.batch_id, run_id):
            await jobs.retry(session, principal, job.id, run_id)


async def _wait_until_due(ledger: Ledger, principal: Principal, job_id: UUID) -> None:
    while True:
        async with ledger.begin() as session:
            job = await jobs.find(session, principal, job_id)
        due = job.not_before is None or job.not_before < datetime.now(UTC) + BEFORE_START
        if due or job.state.is_final:
            return
        await asyncio.sleep(WAIT_FOR_OTHER_SECONDS)


async def _wait_for_other(ledger: Ledger, principal: Principal, job_id: UUID) -> None:
    """The same key was submitted before: another run carries the job, or has done so."""
    while True:
        async with ledger.begin() as session:
            job = await jobs.find(session, principal, job_id)
        if job.state.is_final:
            return
        await asyncio.sleep(WAIT_FOR_OTHER_SECONDS)
