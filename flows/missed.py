"""Jobs whose latest start has passed end, and with them the runs that were to carry them."""

from __future__ import annotations

from prefect.exceptions import ObjectNotFound
from prefect.states import Failed

from qpuflow.domain.principal import service
from qpuflow.flows.outbox import prefect_client
from qpuflow.ledger import missed
from qpuflow.ledger.database import Ledger


async def end_missed(ledger: Ledger, qpu: str | None = None) -> None:
    """Those of one QPU, or of all. A QPU that is closed, and one without a worker, has them too."""
    principal = service("clock")
    async with ledger.look() as session:
        affected = await missed.affected(session, qpu)
    for batch_id in affected:
        async with ledger.begin() as session:
            run_id, why = await missed.end(session, principal, batch_id)
        if run_id is None:
            continue
        async with prefect_client() as client:
            try:
                await client.set_flow_run_state(run_id, Failed(message=why), force=True)
            except ObjectNotFound:
                continue
