"""Jobs that are handed over together: what befalls one of them is its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from qpuflow.domain.job import JobState
from qpuflow.ledger import jobs
from qpuflow.tasks.book_slot import book_slot
from qpuflow.tasks.dispatch import dispatch
from qpuflow.tasks.post_process import post_process
from qpuflow.tasks.store import store
from qpuflow.tasks.transpile import transpile
from qpuflow.tasks.wait import wait
from tests.ledger.entities import eventually_waits
from tests.tasks.journalled import JournalledQpu
from tests.tasks.pipeline import USER, Pipeline, run


@pytest.fixture
def qpu(tmp_path: Path) -> JournalledQpu:
    """A simulator takes all of a turn's jobs at once."""
    return JournalledQpu(tmp_path / "journal", outside_effects=False)


async def test_a_job_that_is_cancelled_at_that_moment_ends_and_its_neighbour_runs(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    unwanted, neighbour = await pipeline.submit(2)
    carrying = await pipeline.begin(await pipeline.batch_of(unwanted))
    chunk = await pipeline.steps(await pipeline.take(carrying), (transpile, book_slot))
    async with asyncio.timeout(30):
        async with pipeline.ledger.begin() as session:
            assert not (await jobs.request_cancel(session, USER, unwanted)).is_final
            handing_over = asyncio.create_task(run(dispatch, chunk))
            await eventually_waits(pipeline.ledger)
        await pipeline.steps(await handing_over, (wait, post_process, store))
    assert (await pipeline.job(unwanted)).state is JobState.CANCELLED
    done = await pipeline.job(neighbour)
    assert (done.state, done.attempt) == (JobState.COMPLETED, 1)
    assert len(qpu.executions()) == 1
