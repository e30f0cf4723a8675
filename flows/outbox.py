"""Creating the flow runs that the ledger has decided on."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import FlowRunCreate
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Scheduled, to_state_create

from qpuflow.domain.errors import OperatorNeeded, Unavailable
from qpuflow.domain.freshness import BELIEVED_SECONDS
from qpuflow.domain.policy import Wait
from qpuflow.ledger import batches, carriers
from qpuflow.ledger.carriers import Carriage
from qpuflow.ledger.database import Ledger

CARRIER_KEY = "carrier-"
MOST_AT_ONCE = 20
"""Each keeps Prefect's server from what starts: of a thousand the others have another minute."""
QUEUED = "Queued"
"""The name of a run's state while the ledger decides when it starts."""


async def create_runs(ledger: Ledger, qpu: str | None = None) -> int:
    """Create a run for the oldest carriers that wait for one, or for those of one QPU.

    An engine creates what it starts, and shows others as far as Prefect's server has the time: this
    is for QPUs without one. Whoever crashes in between is repeated by the next caller: Prefect
    gives the same run for the same idempotency key. Returns how many it created.
    """
    async with ledger.begin() as session:
        pending = await carriers.outbox(session, qpu, MOST_AT_ONCE)
    if not pending:
        return 0
    async with prefect_client() as client:
        for carriage in pending:
            await create_run(ledger, client, carriage, queued())
    return len(pending)


def is_ledgers(run: FlowRun) -> bool:
    """Whether the run was created here, for a carrier."""
    return (run.idempotency_key or "").startswith(CARRIER_KEY)


def queued(wait: Wait | None = None) -> State[Any]:
    """Scheduled, for the ledger to say when."""
    note = wait_note(wait) if wait else "It waits for its turn; see `qpuflow status`"
    return Scheduled(name=QUEUED, message=note)


def wait_note(wait: Wait) -> str:
    """What a person reads on a run that waits."""
    when = f"{wait.until.astimezone(UTC):%Y-%m-%d %H:%M UTC}" if wait.until else "nobody can tell"
    return f"Waits: {wait.reason}. Expected start: {when}"


async def create_run(
    ledger: Ledger, client: PrefectClient, carriage: Carriage, state: State[Any]
) -> FlowRun | None:
    """The carrier's flow run, made in that state unless it was made before.

    None when somebody else was first to note it: it is theirs.
    """
    async with ledger.look() as session:
        first, job_count = await batches.first_and_count(session, carriage.batch_id)
    name = batch_name(carriage.qpu, carriage.user, first, job_count)
    run = await _create(client, carriage, name, state)
    async with ledger.begin() as session:
        is_ours = await carriers.created(session, carriage.id, run.id)
    return run if is_ours else None


async def _create(
    client: PrefectClient, carriage: Carriage, name: str, state: State[Any]
) -> FlowRun:
    """As `create_flow_run_from_deployment`, which on every call has Prefect's server check again
    that the pool's own defaults fit the pool's own schema: most of what the creation takes."""
    deployment = await _deployment(client, f"run-batch/{carriage.qpu}")
    wanted = FlowRunCreate(
        flow_id=deployment.flow_id,
        deployment_id=deployment.id,
        work_pool_name=deployment.work_pool_name,
        work_queue_name=deployment.work_queue_name,
        parameters={**deployment.parameters, "batch_id": str(carriage.batch_id)},
        state=to_state_create(state),
        idempotency_key=f"{CARRIER_KEY}{carriage.id}",
        name=name,
        tags=[*deployment.tags, *run_tags(carriage.qpu, carriage.user)],
    )
    body = wanted.model_dump(mode="json", exclude_unset=True)
    try:
        made = await client.request("POST", "/flow_runs/", json=body)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != HTTPStatus.NOT_FOUND:
            raise
        _deployments.clear()
        raise Unavailable(
            "Its work pool or queue was replaced just now", remedy="Try again."
        ) from error
    return FlowRun.model_validate(made.json())


@asynccontextmanager
async def prefect_client() -> AsyncGenerator[PrefectClient]:
    """Prefect's client, that of the engine in one. Raises `Unavailable` when nobody answers."""
    try:
        async with get_client() as client:
            yield client
    except (httpx.TransportError, PrefectHTTPStatusError) as error:
        raise Unavailable(
            f"The Prefect server does not answer: {error}",
            remedy="The job is kept and starts when the server is back; see `qpuflow doctor`.",
        ) from error


_deployments: dict[tuple[str, str], tuple[float, DeploymentResponse]] = {}


async def _deployment(client: PrefectClient, name: str) -> DeploymentResponse:
    """Believed for a while: it changes when the stack starts, or by a person's hand."""
    found_at, found = _deployments.get((str(client.api_url), name), (0.0, None))
    if found is None or time.monotonic() - found_at > BELIEVED_SECONDS:
        found = await _find_deployment(client, name)
        _deployments[str(client.api_url), name] = time.monotonic(), found
    return found


async def _find_deployment(client: PrefectClient, name: str) -> DeploymentResponse:
    try:
        return await client.read_deployment_by_name(name)
    except ObjectNotFound as error:
        raise OperatorNeeded(
            f"Prefect has no deployment {name!r}", remedy="Run `qpuflow up` to create it."
        ) from error


def batch_name(qpu: str, user: str, first: UUID, job_count: int) -> str:
    """A batch is called after the job that comes first in it."""
    others = f" and {job_count - 1} more" if job_count > 1 else ""
    return run_name(qpu, user, f"job {str(first)[:8]}{others}")


def run_name(qpu: str, user: str, what: str) -> str:
    return f"{qpu} · {user} · {what}"


def run_tags(qpu: str, user: str) -> list[str]:
    """For people to filter by; nothing is decided by them."""
    return [f"qpu:{qpu}", f"user:{user}"]
