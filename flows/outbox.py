"""Creating the flow runs that the ledger has decided on."""

from __future__ import annotations

from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from qpuflow.domain.errors import OperatorNeeded, Unavailable
from qpuflow.ledger import carriers
from qpuflow.ledger.carriers import Carriage
from qpuflow.ledger.database import Ledger


async def create_runs(ledger: Ledger, qpu: str | None = None) -> int:
    """Create a run for every carrier that waits for one, or for those of one QPU.

    Whoever crashes in between is repeated by the next caller: Prefect gives the same run for the
    same idempotency key. Returns how many there were.
    """
    async with ledger.begin() as session:
        pending = await carriers.outbox(session, qpu)
    if not pending:
        return 0
    try:
        async with get_client() as client:
            for carriage in pending:
                flow_run_id = await _create(client, carriage)
                async with ledger.begin() as session:
                    await carriers.created(session, carriage.id, flow_run_id)
    except (httpx.TransportError, PrefectHTTPStatusError) as error:
        raise Unavailable(
            f"The Prefect server does not answer: {error}",
            remedy="The job is kept and starts when the server is back; see `qpuflow doctor`.",
        ) from error
    return len(pending)


async def _create(client: PrefectClient, carriage: Carriage) -> UUID:
    name = f"run-batch/{carriage.qpu}"
    try:
        deployment = await client.read_deployment_by_name(name)
    except ObjectNotFound as error:
        raise OperatorNeeded(
            f"Prefect has no deployment {name!r}", remedy="Run `qpuflow up` to create it."
        ) from error
    run = await client.create_flow_run_from_deployment(
        deployment.id,
        parameters={"batch_id": str(carriage.batch_id)},
        idempotency_key=f"carrier-{carriage.id}",
        name=run_name(carriage.qpu, carriage.user, f"batch {str(carriage.batch_id)[:8]}"),
        tags=run_tags(carriage.qpu, carriage.user),
    )
    return run.id


def run_name(qpu: str, user: str, what: str) -> str:
    return f"{qpu} · {user} · {what}"


def run_tags(qpu: str, user: str) -> list[str]:
    """For people to filter by; nothing is decided by them."""
    return [f"qpu:{qpu}", f"user:{user}"]
