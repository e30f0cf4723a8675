"""A job that waits long in a cloud leaves its run, and is fetched by a later one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from qpuflow.domain.job import JobState
from qpuflow.ledger import asleep
from qpuflow.tasks.work import Chunk
from tests.ledger.entities import scalar
from tests.tasks.journalled import NAME, JournalledQpu, Mischief
from tests.tasks.pipeline import Pipeline, register


@pytest.fixture
async def patient(pipeline: Pipeline, qpu: JournalledQpu) -> Pipeline:
    """Its QPU has a queue; its runs wait there for a moment only."""
    qpu.queues = True
    await register(pipeline.ledger, qpu)
    pipeline.settings = pipeline.settings.model_copy(update={"suspend_after_seconds": 0.2})
    return pipeline


async def through(pipeline: Pipeline, job_id: UUID) -> Chunk:
    carrying = await pipeline.begin(await pipeline.batch_of(job_id))
    return await pipeline.steps(await pipeline.take(carrying))


async def test_it_is_left_at_the_qpu_and_its_neighbour_is_stored(
    patient: Pipeline, qpu: JournalledQpu
) -> None:
    quick, slow = await patient.submit(2)
    qpu.mischief.extend([None, Mischief.HANG])
    chunk = await through(patient, quick)
    assert [work.is_left for work in chunk.works] == [False, True]
    assert (await patient.job(quick)).state is JobState.COMPLETED
    assert (await patient.job(slow)).state is JobState.WAITING
    assert len(qpu.executions()) == 2


async def test_a_later_run_fetches_it_and_submits_nothing(
    patient: Pipeline, qpu: JournalledQpu
) -> None:
    qpu.takes = 3.0
    (job_id,) = await patient.submit()
    chunk = await through(patient, job_id)
    assert chunk.works[0].is_left
    async with patient.ledger.begin() as session:
        await asleep.fall_asleep(session, chunk.carrying.carrier_id)
        (sleeper,) = await asleep.sleepers(session, NAME)
        (ticket,) = (await asleep.held(session, [sleeper.batch_id]))[sleeper.batch_id]
    assert (ticket.job_id, ticket.token) == (job_id, qpu.executions()[0]["token"])
    await asyncio.sleep(qpu.takes)
    async with patient.ledger.begin() as session:
        await asleep.wake(session, sleeper, NAME)
    again = await patient.begin(sleeper.batch_id, sleeper.flow_run_id)
    await patient.carry(again)
    assert again.carrier_id == sleeper.carrier_id
    assert (await patient.job(job_id)).state is JobState.COMPLETED
    assert len(qpu.executions()) == 1
    assert await scalar(patient.ledger, "SELECT count(*) FROM charges") == 1


async def test_a_run_that_nobody_could_start_again_stays(
    patient: Pipeline, qpu: JournalledQpu
) -> None:
    """A call in a script, or a subflow of a user's own."""
    qpu.takes = 0.6
    (job_id,) = await patient.submit()
    carrying = await patient.begin(await patient.batch_of(job_id))
    await patient.carry(replace(carrying, may_sleep=False))
    assert (await patient.job(job_id)).state is JobState.COMPLETED


async def test_where_a_lane_is_held_the_run_stays(pipeline: Pipeline, qpu: JournalledQpu) -> None:
    """A rack has no queue of its own."""
    pipeline.settings = pipeline.settings.model_copy(update={"suspend_after_seconds": 0.2})
    qpu.takes = 0.6
    (job_id,) = await pipeline.submit()
    chunk = await through(pipeline, job_id)
    assert not chunk.works[0].is_left
    assert (await pipeline.job(job_id)).state is JobState.COMPLETED
