"""One intent, one execution: whatever crashes, the QPU's own journal has a job once."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from qpuflow.domain.errors import OutcomeUnknown, Unavailable
from qpuflow.domain.job import JobState
from qpuflow.ledger import intents, jobs
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.live import CarrierLost
from qpuflow.tasks.attempts import PATIENT_TIMES
from qpuflow.tasks.book_slot import book_slot
from qpuflow.tasks.dispatch import dispatch
from qpuflow.tasks.post_process import post_process
from qpuflow.tasks.store import store
from qpuflow.tasks.transpile import transpile
from qpuflow.tasks.wait import wait
from tests.ledger.entities import rows, scalar
from tests.tasks.journalled import Crash, JournalledQpu, Mischief
from tests.tasks.pipeline import STEPS, USER, Pipeline, run

pytestmark = pytest.mark.flaky(reruns=0)  # one failure in a hundred is one execution too many

CHARGES = "SELECT count(*) FROM charges"


async def carry(pipeline: Pipeline, job_id: UUID) -> None:
    await pipeline.carry(await pipeline.begin(await pipeline.batch_of(job_id)))


async def test_a_job_runs_once_and_is_charged_once(pipeline: Pipeline, qpu: JournalledQpu) -> None:
    (job_id,) = await pipeline.submit()
    await carry(pipeline, job_id)
    assert (await pipeline.job(job_id)).state is JobState.COMPLETED
    (execution,) = qpu.executions()
    query = "SELECT i.token, i.state, t.remote_id FROM intents i JOIN tickets t USING (token)"
    expected = [(execution["token"], "accepted", execution["id"])]
    assert await rows(pipeline.ledger, query) == expected
    assert await scalar(pipeline.ledger, CHARGES) == 1


async def test_the_intent_is_there_when_the_qpu_is_called(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    (job_id,) = await pipeline.submit()
    qpu.mischief.append(Mischief.CRASH_BEFORE)
    with pytest.raises(Crash):
        await carry(pipeline, job_id)
    assert await rows(pipeline.ledger, "SELECT state FROM intents") == [("open",)]
    assert await scalar(pipeline.ledger, "SELECT count(*) FROM tickets") == 0


@pytest.mark.parametrize("moment", [Mischief.CRASH_BEFORE, Mischief.CRASH_AFTER])
async def test_a_crash_around_the_submission_is_settled_by_asking(
    pipeline: Pipeline, qpu: JournalledQpu, moment: Mischief
) -> None:
    (job_id,) = await pipeline.submit()
    first = await pipeline.begin(await pipeline.batch_of(job_id))
    qpu.mischief.append(moment)
    with pytest.raises(Crash):
        await pipeline.carry(first)
    await pipeline.crash(first)
    await carry(pipeline, job_id)
    assert (await pipeline.job(job_id)).state is JobState.COMPLETED
    assert len(qpu.executions()) == 1
    assert await scalar(pipeline.ledger, CHARGES) == 1


@pytest.mark.parametrize("done", range(len(STEPS)))
async def test_a_crash_after_any_step_executes_nothing_twice(
    pipeline: Pipeline, qpu: JournalledQpu, done: int
) -> None:
    job_ids = await pipeline.submit(3)
    first = await pipeline.begin(await pipeline.batch_of(job_ids[0]))
    await pipeline.steps(await pipeline.take(first), STEPS[:done])
    await pipeline.crash(first)
    await carry(pipeline, job_ids[0])
    for job_id in job_ids:
        assert (await pipeline.job(job_id)).state is JobState.COMPLETED
    assert len(qpu.executions()) == 3
    assert await scalar(pipeline.ledger, CHARGES) == 3


@pytest.mark.parametrize("position", range(3))
async def test_a_crash_amid_several_jobs_executes_none_twice(
    pipeline: Pipeline, qpu: JournalledQpu, position: int
) -> None:
    job_ids = await pipeline.submit(3)
    first = await pipeline.begin(await pipeline.batch_of(job_ids[0]))
    qpu.mischief.extend([*[None] * position, Mischief.CRASH_AFTER])
    with pytest.raises(Crash):
        await pipeline.carry(first)
    await pipeline.crash(first)
    await carry(pipeline, job_ids[0])
    assert [(await pipeline.job(one)).state for one in job_ids] == [JobState.COMPLETED] * 3
    assert len(qpu.executions()) == 3


async def test_a_lost_reply_is_found_and_not_repeated(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    (job_id,) = await pipeline.submit()
    qpu.mischief.append(Mischief.LOSE_REPLY)
    await carry(pipeline, job_id)
    assert (await pipeline.job(job_id)).state is JobState.COMPLETED
    assert len(qpu.executions()) == 1


async def test_a_lost_request_is_a_new_attempt_under_a_new_token(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    (job_id,) = await pipeline.submit()
    qpu.mischief.append(Mischief.LOSE_REQUEST)
    await carry(pipeline, job_id)
    job = await pipeline.job(job_id)
    assert (job.state, job.attempt) == (JobState.COMPLETED, 2)
    assert [one["token"] for one in qpu.executions()] == [intents.token_of(job)]


@pytest.mark.parametrize("silence", [OutcomeUnknown("Nobody answers"), ValueError("<html>")])
async def test_an_outcome_that_nobody_knows_stays_ambiguous_until_somebody_answers(
    pipeline: Pipeline, qpu: JournalledQpu, silence: Exception
) -> None:
    (job_id,) = await pipeline.submit()
    first = await pipeline.begin(await pipeline.batch_of(job_id))
    qpu.mischief.append(Mischief.LOSE_REPLY)
    qpu.deaf = silence
    await pipeline.steps(await pipeline.take(first))
    assert (await pipeline.job(job_id)).state is JobState.AMBIGUOUS
    await pipeline.crash(first)
    second = await pipeline.begin(await pipeline.batch_of(job_id))
    await pipeline.steps(await pipeline.resume(second))
    assert (await pipeline.job(job_id)).state is JobState.AMBIGUOUS
    await pipeline.crash(second)
    qpu.deaf = None
    await carry(pipeline, job_id)
    assert (await pipeline.job(job_id)).state is JobState.COMPLETED
    assert len(qpu.executions()) == 1


async def test_a_refusal_that_was_noted_before_a_crash_gets_a_new_token(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    """Refused and noted, crash; accepted, crash before that is noted; then once more."""
    (job_id,) = await pipeline.submit()
    first = await pipeline.begin(await pipeline.batch_of(job_id))
    qpu.mischief.extend([Mischief.REFUSE] * (PATIENT_TIMES + 1))
    await pipeline.steps(await pipeline.take(first), (transpile, book_slot, dispatch))
    await pipeline.crash(first)
    qpu.mischief.append(Mischief.CRASH_AFTER)
    second = await pipeline.begin(await pipeline.batch_of(job_id))
    with pytest.raises(Crash):
        await pipeline.carry(second)
    await pipeline.crash(second)
    await carry(pipeline, job_id)
    assert (await pipeline.job(job_id)).state is JobState.COMPLETED
    assert len(qpu.executions()) == 1


async def test_a_dispatch_that_is_repeated_submits_nothing_twice(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    """As after `Unavailable`: Prefect gives the step the chunk that it gave it before."""
    job_ids = await pipeline.submit(3)
    carrying = await pipeline.begin(await pipeline.batch_of(job_ids[0]))
    chunk = await pipeline.steps(await pipeline.take(carrying), (transpile, book_slot))
    await run(dispatch, chunk)
    again = await run(dispatch, chunk)
    await pipeline.steps(again, (wait, post_process, store))
    assert len(qpu.executions()) == 3
    assert [(await pipeline.job(one)).state for one in job_ids] == [JobState.COMPLETED] * 3


async def test_every_step_may_be_repeated(pipeline: Pipeline, qpu: JournalledQpu) -> None:
    (job_id,) = await pipeline.submit()
    chunk = await pipeline.take(await pipeline.begin(await pipeline.batch_of(job_id)))
    for step in STEPS:
        await run(step, chunk)
        chunk = await run(step, chunk)
    assert (await pipeline.job(job_id)).state is JobState.COMPLETED
    assert len(qpu.executions()) == 1
    assert await scalar(pipeline.ledger, CHARGES) == 1


async def test_a_link_that_fails_while_waiting_is_unavailable_and_the_wait_goes_on(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    (job_id,) = await pipeline.submit()
    carrying = await pipeline.begin(await pipeline.batch_of(job_id))
    chunk = await pipeline.steps(await pipeline.take(carrying), (transpile, book_slot, dispatch))
    qpu.unavailable_watches = 1
    with pytest.raises(Unavailable):
        await run(wait, chunk)
    await pipeline.steps(chunk, (wait, post_process, store))
    assert (await pipeline.job(job_id)).state is JobState.COMPLETED


@pytest.mark.parametrize("done", [1, 2, 5])
async def test_a_replaced_carrier_neither_submits_nor_stores(
    pipeline: Pipeline, qpu: JournalledQpu, done: int
) -> None:
    (job_id,) = await pipeline.submit()
    stale = await pipeline.begin(await pipeline.batch_of(job_id))
    chunk = await pipeline.steps(await pipeline.take(stale), STEPS[:done])
    executed = len(qpu.executions())
    await pipeline.crash(stale)
    with pytest.raises(CarrierLost):
        await pipeline.steps(chunk, STEPS[done:])
    assert len(qpu.executions()) == executed
    assert await scalar(pipeline.ledger, "SELECT count(*) FROM results") == 0
    await carry(pipeline, job_id)
    assert len(qpu.executions()) == 1
    assert await scalar(pipeline.ledger, CHARGES) == 1


async def test_a_lease_that_ran_out_prevents_the_submission(
    pipeline: Pipeline, qpu: JournalledQpu, ledger: Ledger
) -> None:
    (job_id,) = await pipeline.submit()
    carrying = await pipeline.begin(await pipeline.batch_of(job_id))
    chunk = await pipeline.steps(await pipeline.take(carrying), (transpile, book_slot))
    await rows(ledger, "UPDATE leases SET expires_at = clock_timestamp() RETURNING 1")
    (work,) = (await run(dispatch, chunk)).works
    assert work.end is not None
    assert (work.end.state, "lease" in work.end.reason) == (JobState.QUEUED, True)
    assert qpu.executions() == []
    assert await scalar(ledger, "SELECT count(*) FROM intents") == 0


async def test_cancelling_a_running_job_reaches_the_qpu_and_spares_its_neighbours(
    pipeline: Pipeline, qpu: JournalledQpu, ledger: Ledger
) -> None:
    job_ids = await pipeline.submit(3)
    qpu.mischief.extend([None, Mischief.HANG, None])
    working = asyncio.create_task(carry(pipeline, job_ids[0]))
    deadline = asyncio.get_running_loop().time() + 20
    while (await pipeline.job(job_ids[2])).state is not JobState.WAITING:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)
    async with ledger.begin() as session:
        await jobs.request_cancel(session, USER, job_ids[1])
    await asyncio.wait_for(working, 20)
    states = [(await pipeline.job(one)).state.value for one in job_ids]
    assert states == ["completed", "cancelled", "completed"]
    assert await scalar(ledger, CHARGES) == 2


async def test_cancelling_a_job_before_it_is_handed_over_submits_nothing(
    pipeline: Pipeline, qpu: JournalledQpu, ledger: Ledger
) -> None:
    job_ids = await pipeline.submit(2)
    carrying = await pipeline.begin(await pipeline.batch_of(job_ids[0]))
    chunk = await pipeline.steps(await pipeline.take(carrying), (transpile, book_slot))
    async with ledger.begin() as session:
        await jobs.request_cancel(session, USER, job_ids[0])
    await pipeline.steps(chunk, (dispatch, wait, post_process, store))
    states = [(await pipeline.job(one)).state.value for one in job_ids]
    assert states == ["cancelled", "completed"]
    assert len(qpu.executions()) == 1


@pytest.mark.parametrize(
    ("mischief", "reason"),
    [(Mischief.FAIL, "fridge is warm"), (Mischief.REJECT, "No such gate")],
)
async def test_one_bad_job_fails_alone_and_says_why(
    pipeline: Pipeline, qpu: JournalledQpu, mischief: Mischief, reason: str
) -> None:
    job_ids = await pipeline.submit(3)
    qpu.mischief.extend([None, mischief, None])
    await carry(pipeline, job_ids[0])
    states = [(await pipeline.job(one)).state.value for one in job_ids]
    assert states == ["completed", "failed", "completed"]
    assert reason in str((await pipeline.job(job_ids[1])).reason)
    assert await scalar(pipeline.ledger, CHARGES) == 2


async def test_a_result_that_cannot_be_decoded_fails_its_job_alone(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    job_ids = await pipeline.submit(3)
    qpu.mischief.extend([None, Mischief.GARBLE, None])
    await carry(pipeline, job_ids[0])
    states = [(await pipeline.job(one)).state.value for one in job_ids]
    assert states == ["completed", "failed", "completed"]


@pytest.mark.parametrize("failure", [Unavailable("The link is down"), ValueError("<html>")])
async def test_a_cancellation_is_passed_on_although_that_failed_once(
    pipeline: Pipeline, qpu: JournalledQpu, ledger: Ledger, failure: Exception
) -> None:
    (job_id,) = await pipeline.submit()
    qpu.mischief.append(Mischief.HANG)
    qpu.broken_cancels.append(failure)
    working = asyncio.create_task(carry(pipeline, job_id))
    deadline = asyncio.get_running_loop().time() + 20
    while (await pipeline.job(job_id)).state is not JobState.WAITING:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)
    async with ledger.begin() as session:
        await jobs.request_cancel(session, USER, job_id)
    try:
        await asyncio.wait_for(working, 5)
    except TimeoutError:
        pytest.fail("the QPU was never told")
    assert (await pipeline.job(job_id)).state is JobState.CANCELLED
