"""While one chunk is at the QPU, the one before it is evaluated and stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest

from qpuflow.domain.job import Job, JobState
from qpuflow.flows import pipeline as flow
from qpuflow.tasks.post_process import post_process
from qpuflow.tasks.step import step, unshown
from qpuflow.tasks.store import store
from qpuflow.tasks.work import Carrying, Chunk
from tests.tasks.journalled import JournalledQpu
from tests.tasks.pipeline import Pipeline


@pytest.fixture(autouse=True)
def without_task_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "shown", unshown)


async def carried(pipeline: Pipeline, count: int) -> tuple[Carrying, list[Job]]:
    """A carrier with so many jobs of one batch."""
    ids = await pipeline.submit(count)
    carrying = await pipeline.begin(await pipeline.batch_of(ids[0]))
    return carrying, [work.job for work in (await pipeline.take(carrying)).works]


async def states(pipeline: Pipeline, jobs: list[Job]) -> list[JobState]:
    return [(await pipeline.job(job.id)).state for job in jobs]


async def test_the_next_chunk_runs_before_the_first_is_stored(
    pipeline: Pipeline, qpu: JournalledQpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    @step("store")
    async def store_when_two_have_run(chunk: Chunk) -> Chunk:
        while len(qpu.executions()) < 2:  # noqa: ASYNC110  in another thread
            await asyncio.sleep(0.01)
        return await unshown(store, chunk)

    monkeypatch.setattr(flow, "AFTERWARDS", (post_process, store_when_two_have_run))
    carrying, jobs = await carried(pipeline, 3)
    stored: list[UUID] = []
    async with asyncio.timeout(60), flow.Pipeline(carrying, note(stored)) as running:
        for job in jobs:
            await running.run([job])
    assert stored == [job.id for job in jobs]
    assert await states(pipeline, jobs) == [JobState.COMPLETED] * 3
    assert len(qpu.executions()) == 3


async def test_a_carrier_that_is_ended_stores_what_has_been_run(pipeline: Pipeline) -> None:
    carrying, jobs = await carried(pipeline, 1)
    stored: list[UUID] = []

    async def ended() -> None:
        async with flow.Pipeline(carrying, note(stored)) as running:
            await running.run(jobs)
            raise RuntimeError("ended")

    with pytest.raises(RuntimeError, match="ended"):
        await ended()
    assert stored == [jobs[0].id]
    assert await states(pipeline, jobs) == [JobState.COMPLETED]


async def test_what_keeps_a_chunk_from_being_stored_ends_its_carrier(
    pipeline: Pipeline, qpu: JournalledQpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    @step("store")
    async def broken(_: Chunk) -> Chunk:
        raise RuntimeError("no room")

    carrying, jobs = await carried(pipeline, 1)
    monkeypatch.setattr(flow, "AFTERWARDS", (post_process, broken))
    with pytest.raises(RuntimeError, match="no room"):
        await run_all(carrying, jobs)
    await pipeline.crash(carrying)
    await pipeline.carry(await pipeline.begin(carrying.batch_id))
    assert await states(pipeline, jobs) == [JobState.COMPLETED]
    assert len(qpu.executions()) == 1, "its result was fetched, and it did not run again"


async def run_all(carrying: Carrying, jobs: list[Job]) -> None:
    async with flow.Pipeline(carrying, note([])) as running:
        await running.run(jobs)


def note(stored: list[UUID]) -> Callable[[Chunk], None]:
    return lambda chunk: stored.extend(work.job.id for work in chunk.works)
