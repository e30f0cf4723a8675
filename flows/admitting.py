"""Runs that people start in Prefect become jobs before they run, so that they wait in one queue."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from prefect.client.schemas.objects import FlowRun
from prefect.states import Failed
from pydantic import ValidationError

from qpuflow.domain.errors import InputError, QpuflowError, Unavailable
from qpuflow.domain.principal import Principal
from qpuflow.domain.request import JobRequest
from qpuflow.domain.settings import Settings
from qpuflow.flows.outbox import prefect_client
from qpuflow.flows.resources import Resources
from qpuflow.ledger import carriers
from qpuflow.tasks.admission import Journey, admit

AUTO_SCHEDULED = "auto-scheduled"


def principal_of(request: JobRequest, settings: Settings, user: str, via: str) -> Principal:
    """On whose behalf a run is made that says nothing of it itself: the `user`'s."""
    user = request.user or user
    return Principal(user, request.project or settings.project or user, via=via)


def started_by(tags: Collection[str]) -> str:
    return "schedule" if AUTO_SCHEDULED in tags else "prefect"


async def admit_run(shared: Resources, qpu: str, run: FlowRun, run_as: str | None) -> bool:
    """Make the run's job. False: it waits in the ledger's queue, or was refused.

    True: another run carries the job, or it has ended; the flow itself sees to that. A run that
    is refused fails with the reason, and takes no seat.
    """
    try:
        request = _request(run, qpu)
        user = run_as or shared.settings.user
        principal = principal_of(request, shared.settings, user, started_by(run.tags))
        journey = Journey(qpu, str(run.id), run.id)
        await admit(shared.ledger, principal, request, journey)
        async with shared.ledger.begin() as session:
            return not await carriers.wake(session, run.id)
    except Unavailable:
        raise
    except QpuflowError as error:
        await _refuse(run.id, error)
        return False


async def welcome_back(shared: Resources, run: FlowRun) -> bool:
    """As `admit_run`, of a run that the ledger had created: somebody resumed or retried it."""
    async with shared.ledger.begin() as session:
        return not await carriers.wake(session, run.id)


def qpu_of(request: JobRequest, served: str | None) -> str:
    """The QPU that a request is for; `served` is that of the run's deployment."""
    if request.qpu is None:
        if served is None:
            raise InputError("The request names no QPU", remedy="Set `qpu`.")
        return served
    if served not in (None, request.qpu):
        raise InputError(
            f"This deployment serves {served!r}, and the request asks for {request.qpu!r}",
            remedy=f"Start run-circuits/{request.qpu} instead, or leave `qpu` empty.",
        )
    return request.qpu


def _request(run: FlowRun, served: str) -> JobRequest:
    try:
        request = JobRequest.model_validate(run.parameters.get("request"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"request.{place}: {first['msg']}", where=f"flow run {run.name}"
        ) from error
    return request.model_copy(update={"qpu": qpu_of(request, served)})


async def _refuse(run_id: UUID, error: QpuflowError) -> None:
    async with prefect_client() as client:
        await client.set_flow_run_state(run_id, Failed(message=str(error)))
