"""Jobs of qpuflow's own, submitted and waited for like anybody's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID

from qpuflow.domain.errors import Unavailable
from qpuflow.domain.job import JobState
from qpuflow.domain.principal import Principal
from qpuflow.domain.request import JobRequest
from qpuflow.domain.result import counts_of
from qpuflow.flows.resources import Resources
from qpuflow.ledger import jobs, results
from qpuflow.ledger.signals import Channel, within
from qpuflow.tasks.admission import Journey, admit

LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Counted:
    job_id: UUID
    counts: list[dict[str, int]]
    """Of each program."""


async def counts_from(
    shared: Resources, principal: Principal, request: JobRequest, patience_seconds: float
) -> Counted:
    """`Unavailable` where the job failed or had to wait too long."""
    assert request.qpu is not None
    accepted = await admit(shared.ledger, principal, request, Journey(request.qpu))
    try:
        async with asyncio.timeout(patience_seconds):
            state = await _end_of(shared, principal, accepted.job_id)
    except TimeoutError as error:
        async with shared.ledger.begin() as session:
            await jobs.request_cancel(session, principal, accepted.job_id)
        raise Unavailable(f"Its turn did not come within {patience_seconds:g} s") from error
    async with shared.ledger.begin() as session:
        if state is not JobState.COMPLETED:
            job = await jobs.find(session, principal, accepted.job_id)
            raise Unavailable(f"Job {job.id} {state.value}: {job.reason}")
        datasets = await results.read(shared.ledger, session, principal, accepted.job_id)
    return Counted(accepted.job_id, [counts_of(one) for one in datasets])


async def _end_of(shared: Resources, principal: Principal, job_id: UUID) -> JobState:
    with shared.ledger.ears.listen(Channel.ENDED, principal.user) as news:
        while True:
            async with shared.ledger.begin() as session:
                state = (await jobs.states(session, principal, [job_id]))[job_id]
            if state.is_final:
                return state
            await within(news, LOOK_SECONDS)
