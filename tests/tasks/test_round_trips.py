"""How often a job of a loop waits for the ledger on its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from qpuflow.domain.job import JobState
from qpuflow.tasks.work import Chunk
from tests.ledger.asked import listening
from tests.tasks.journalled import JournalledQpu
from tests.tasks.pipeline import STEPS, Pipeline, run

STATEMENTS = {
    "transpile": 1,  # its programs; what they were compiled to is known from the job before
    "book-slot": 3,  # ready and locked; what stands; the grant
    "dispatch": 2,  # intent; ticket
    "wait": 1,  # the lane is free
    "post-process": 0,
    "store": 2,  # result, charge, state and history; the account book
}


@pytest.fixture
def qpu(tmp_path: Path) -> JournalledQpu:
    return JournalledQpu(tmp_path / "journal", outside_effects=False)


async def test_the_second_job_of_a_loop_takes_nine_statements(pipeline: Pipeline) -> None:
    first, second = await pipeline.submit(2)
    carrying = await pipeline.begin(await pipeline.batch_of(first))
    works = {work.job.id: work for work in (await pipeline.take(carrying)).works}
    await pipeline.steps(Chunk(carrying, [works[first]]))
    assert await statements(Chunk(carrying, [works[second]])) == STATEMENTS
    assert (await pipeline.job(second)).state is JobState.COMPLETED


async def statements(chunk: Chunk) -> dict[str, int]:
    """Of each step."""
    counts: dict[str, int] = {}
    for step in STEPS:
        with listening() as asked:
            chunk = await run(step, chunk)
        counts[step.name] = len(asked.texts)
        assert not asked.others, "texts go to asyncpg, which is faster"
    return counts
