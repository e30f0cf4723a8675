"""The flow that people start: from the Prefect UI, on a schedule, from Python, by the API.

What it does is imported when it runs: who only looks at the flow, as a deployment or a form does,
waits for neither the ledger nor its database library.
"""

from __future__ import annotations

from prefect import flow

from qpuflow.domain.report import JobReport
from qpuflow.domain.request import JobRequest


@flow(name="run-circuits", persist_result=False)
async def run_circuits(request: JobRequest) -> JobReport:
    """Run programs on a QPU and wait for their results.

    Raises `JobFailed` when the job ends without a result. Retrying a failed run is a new
    attempt of the same job; retrying a finished one returns its result. A run that waits while
    others need its seat in the worker is scheduled anew, and comes back.
    """
    from qpuflow.flows.one_job import run_job

    return await run_job(request)
