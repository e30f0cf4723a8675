"""A carrier of which the ledger hears nothing hands no more over: another may be in its place."""

from __future__ import annotations

import asyncio

import pytest

from qpuflow.domain.job import JobState
from qpuflow.tasks.pulse import Pulse
from tests.ledger.entities import scalar
from tests.tasks.journalled import JournalledQpu
from tests.tasks.pipeline import STEPS, Pipeline
from tests.tasks.test_exactly_once import CHARGES, carry


async def test_what_was_begun_in_time_is_called_off_when_the_time_is_over() -> None:
    pulse = Pulse(0.05)
    async with asyncio.timeout(30):
        with pytest.raises(TimeoutError):
            async with pulse.certain():
                await asyncio.Event().wait()


async def test_it_goes_on_for_as_long_as_the_heart_beats() -> None:
    pulse, loop = Pulse(0.2), asyncio.get_running_loop()
    began = loop.time()
    async with pulse.certain():
        while loop.time() < began + 0.5:
            pulse.beaten(loop.time())
            await asyncio.sleep(0.01)


async def test_nothing_begins_after_it_though_nobody_has_waited() -> None:
    begun = False
    with pytest.raises(TimeoutError, match="has not heard of this carrier"):
        async with Pulse(0.0).certain():
            begun = True
    assert not begun


async def test_a_carrier_that_the_ledger_has_not_heard_of_submits_nothing(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    (job_id,) = await pipeline.submit()
    pipeline.certain_seconds = 0.0
    unheard = await pipeline.begin(await pipeline.batch_of(job_id))
    (work,) = (await pipeline.steps(await pipeline.take(unheard), STEPS[:3])).works
    assert (work.ticket, work.end and work.end.state) == (None, JobState.QUEUED)
    assert qpu.executions() == []
    await pipeline.crash(unheard)
    pipeline.certain_seconds = 3600.0
    await carry(pipeline, job_id)
    assert (await pipeline.job(job_id)).state is JobState.COMPLETED
    assert len(qpu.executions()) == await scalar(pipeline.ledger, CHARGES) == 1
