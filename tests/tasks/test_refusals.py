"""A QPU that refuses work for now: it is left alone, and no job fails for what is not its own."""

from __future__ import annotations

import asyncio
import re
import time

import pytest

from qpuflow.domain.device import DeviceStatus
from qpuflow.domain.errors import Refused, Unavailable
from qpuflow.domain.job import JobState
from qpuflow.domain.settings import Settings
from qpuflow.ledger import jobs
from qpuflow.tasks import dispatch
from qpuflow.tasks.attempts import PATIENT_TIMES, pause_seconds
from tests.ledger.entities import rows, scalar
from tests.system.installation import eventually
from tests.tasks.journalled import JournalledQpu, Mischief
from tests.tasks.pipeline import USER, Pipeline
from tests.tasks.test_exactly_once import CHARGES, carry


async def test_a_refusal_is_tried_again_under_a_new_token_and_given_up_in_the_end(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    (job_id,) = await pipeline.submit()
    qpu.refuses = True
    await carry(pipeline, job_id)
    job = await pipeline.job(job_id)
    assert (job.state, job.attempt) == (JobState.FAILED, 3)
    assert job.reason == "Given up after 3 attempts: Not now"
    assert qpu.refusals == 3 * (PATIENT_TIMES + 1)
    tokens = [row[0] for row in await rows(pipeline.ledger, "SELECT token FROM intents")]
    assert len(set(tokens)) == 3
    assert qpu.executions() == []
    assert await scalar(pipeline.ledger, CHARGES) == 0


async def test_a_qpu_that_says_when_to_come_again_is_left_alone_until_then(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    qpu.mischief.extend([Mischief.THROTTLE] * 4)
    (job_id,) = await pipeline.submit()
    began = time.monotonic()
    await pipeline.carry(await pipeline.begin(await pipeline.batch_of(job_id)))
    job = await pipeline.job(job_id)
    assert (job.state, job.attempt) == (JobState.COMPLETED, 1)
    assert time.monotonic() - began > 4 * 0.05
    assert len(qpu.executions()) == 1


async def test_one_that_says_so_again_and_again_gets_the_job_in_a_later_attempt(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    qpu.mischief.extend([Mischief.THROTTLE] * (PATIENT_TIMES + 1))
    (job_id,) = await pipeline.submit()
    await pipeline.carry(await pipeline.begin(await pipeline.batch_of(job_id)))
    job = await pipeline.job(job_id)
    assert (job.state, job.attempt) == (JobState.COMPLETED, 2)


@pytest.mark.parametrize("away", [DeviceStatus.OFFLINE, Unavailable("No route to host")])
async def test_a_qpu_that_is_away_uses_up_no_job_s_attempts(
    pipeline: Pipeline, qpu: JournalledQpu, away: DeviceStatus | Unavailable
) -> None:
    (job_id,) = await pipeline.submit()
    qpu.refuses, qpu.away = True, away
    carried = asyncio.create_task(carry(pipeline, job_id))
    await refused(qpu, PATIENT_TIMES + 3)
    assert re.fullmatch(
        r"journalled refused, and is asked again in \S+ s: Not now",
        (await pipeline.job(job_id)).reason or "",
    )
    qpu.refuses = False
    await carried
    job = await pipeline.job(job_id)
    assert (job.state, job.attempt, job.reason) == (JobState.COMPLETED, 1, None)
    assert len(qpu.executions()) == 1


@pytest.mark.parametrize("attempts", [1, 3], ids=["in its last attempt", "in its first"])
async def test_a_job_that_waits_for_a_qpu_that_is_away_can_be_cancelled(
    pipeline: Pipeline, qpu: JournalledQpu, monkeypatch: pytest.MonkeyPatch, attempts: int
) -> None:
    monkeypatch.setattr(dispatch, "LOOK_SECONDS", 0.05)
    pipeline.settings = pipeline.settings.model_copy(
        update={"longest_pause_seconds": 600.0, "max_attempts": attempts}
    )
    (job_id,) = await pipeline.submit()
    qpu.refuses, qpu.away = True, DeviceStatus.OFFLINE
    carried = asyncio.create_task(carry(pipeline, job_id))
    await refused(qpu, PATIENT_TIMES + 1)
    async with pipeline.ledger.begin() as session:
        await jobs.request_cancel(session, USER, job_id)
    async with asyncio.timeout(30):
        await carried
    job = await pipeline.job(job_id)
    assert (job.state, job.attempt) == (JobState.CANCELLED, 1)
    assert qpu.executions() == []


async def test_what_was_mended_in_the_qpu_s_block_holds_for_the_job_that_waits(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    (job_id,) = await pipeline.submit()
    qpu.refuses, qpu.away = True, Unavailable("The token has expired")
    carried = asyncio.create_task(carry(pipeline, job_id))
    await refused(qpu, PATIENT_TIMES + 1)
    pipeline.later_driver = JournalledQpu(qpu.journal)
    await carried
    assert (await pipeline.job(job_id)).state is JobState.COMPLETED
    assert len(qpu.executions()) == 1


async def refused(qpu: JournalledQpu, times: int) -> None:
    async def often_enough() -> bool:
        return qpu.refusals >= times

    await eventually(often_enough, "the QPU is not asked again", 30)


def test_a_pause_is_what_the_qpu_asks_for_or_twice_the_one_before() -> None:
    settings = Settings(refused_pause_seconds=1, longest_pause_seconds=60)
    pauses = [pause_seconds(Refused("Busy"), times, settings) for times in range(6)]
    assert pauses == [1, 2, 4, 8, 16, None]
    assert pause_seconds(Refused("Busy", retry_after_seconds=2.5), 3, settings) == 2.5
    assert pause_seconds(Refused("Busy", retry_after_seconds=3600), 0, settings) is None
