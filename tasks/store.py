"""Step 6: result, state, charge and event of each job in one transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.errors import QpuflowError
from qpuflow.domain.job import JobState
from qpuflow.drivers.base import KeepingDriver
from qpuflow.ledger import events, jobs, live, results
from qpuflow.tasks.step import step
from qpuflow.tasks.work import Carrying, Chunk, End, Work

CONFIRM_SECONDS = 2.0


@step("store")
async def store(chunk: Chunk) -> Chunk:
    """All of the chunk or, if this carrier was replaced, nothing."""
    carrying = chunk.carrying
    finished = [
        replace(work.finished, timings=work.timings)
        for work in chunk.active
        if work.finished is not None
    ]
    async with carrying.ledger.begin() as session:
        if not finished:
            await live.require_live(session, carrying.carrier_id)
        await results.store(
            carrying.ledger, session, carrying.principal, finished, carrying.carrier_id
        )
        for end, job_ids in _by_end(chunk.works).items():
            await _end(session, carrying, end, job_ids)
    await _confirm(chunk)
    return chunk


async def _confirm(chunk: Chunk) -> None:
    """After the transaction. A QPU that does not hear of it asks later: see `sync_devices`."""
    driver = chunk.carrying.driver
    if not isinstance(driver, KeepingDriver):
        return
    tokens = [work.ticket.token for work in chunk.works if work.ticket and _is_over(work)]
    if tokens:
        with contextlib.suppress(QpuflowError, TimeoutError):
            async with asyncio.timeout(CONFIRM_SECONDS):
                await driver.confirm(tokens)


def _is_over(work: Work) -> bool:
    return work.finished is not None or (work.end is not None and work.end.state.is_final)


def _by_end(works: Iterable[Work]) -> dict[End, list[UUID]]:
    ends: dict[End, list[UUID]] = defaultdict(list)
    for work in works:
        if work.end is not None:
            ends[work.end].append(work.job.id)
    return ends


async def _end(session: AsyncSession, carrying: Carrying, end: End, job_ids: list[UUID]) -> None:
    moved = await events.move(session, carrying.principal, job_ids, end.state, reason=end.reason)
    if end.state is JobState.QUEUED and end.was_tried:
        await jobs.next_attempt(session, moved)
