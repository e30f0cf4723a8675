"""Step 2: the right to run now. Nothing is asked of the QPU without a lease."""

from __future__ import annotations

import asyncio

from qpuflow.ledger import carriers, leases
from qpuflow.tasks.step import step
from qpuflow.tasks.work import Chunk

ASK_AGAIN_SECONDS = 0.2


@step("book_slot")
async def book_slot(chunk: Chunk) -> Chunk:
    """Wait for a free lane. The lease is kept alive by the carrier's heartbeat."""
    if not chunk.active:
        return chunk
    carrying = chunk.carrying
    while True:
        async with carrying.ledger.begin() as session:
            await carriers.require_live(session, carrying.carrier_id)
            token = await leases.acquire(
                session,
                carrying.qpu.name,
                carrying.carrier_id,
                carrying.settings.lost_after_seconds,
            )
        if token is not None:
            return chunk.updated([], fencing_token=token)
        await asyncio.sleep(ASK_AGAIN_SECONDS)
