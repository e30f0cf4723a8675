"""Whose jobs run now: a turn, a booking, a cancellation while nobody's turn has come."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import insert

from qpuflow.domain.booking import BookingKind
from qpuflow.domain.device import Control
from qpuflow.domain.job import JobState
from qpuflow.domain.policy import PolicyRules
from qpuflow.domain.principal import Principal, Role, service
from qpuflow.domain.settings import Settings
from qpuflow.ledger import accounts, arbiter, controls, jobs
from qpuflow.ledger.arbiter import Question
from qpuflow.ledger.schema import BookingRow
from qpuflow.tasks.book_slot import book_slot
from qpuflow.tasks.dispatch import dispatch
from qpuflow.tasks.store import store
from qpuflow.tasks.transpile import transpile
from qpuflow.tasks.wait import wait
from tests.ledger.entities import rows, scalar
from tests.tasks.journalled import NAME, JournalledQpu, Mischief
from tests.tasks.pipeline import STEPS, USER, Pipeline, run

BOB = Principal("bob", "bob")
ASKING = "SELECT count(*) FROM jobs WHERE asks_since IS NOT NULL"
OLGA = Principal("olga", "olga", frozenset({Role.USER, Role.OPERATOR}))


async def book(pipeline: Pipeline, start: float, end: float, project: str | None = None) -> None:
    now = datetime.now(UTC)
    async with pipeline.ledger.begin() as session:
        await accounts.add_member(session, service("test"), project or "olga", "olga")
        await session.execute(
            insert(BookingRow).values(
                id=uuid4(),
                qpu=NAME,
                project=project,
                kind=(BookingKind.PROJECT if project else BookingKind.MAINTENANCE).value,
                starts_at=now + timedelta(seconds=start),
                ends_at=now + timedelta(seconds=end),
                created_by="olga",
            )
        )


async def all_of(pipeline: Pipeline, ids: list[UUID]) -> list[tuple[JobState, int]]:
    found = [await pipeline.job(one) for one in ids]
    return [(job.state, job.attempt) for job in found]


async def test_while_another_waits_a_chunk_runs_for_its_turn_and_loses_no_attempt(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    mine, (theirs,) = await pipeline.submit(10), await pipeline.submit(1, who=BOB)
    first = await pipeline.begin(await pipeline.batch_of(mine[0]))
    other = await pipeline.begin(await pipeline.batch_of(theirs))
    waiting = await run(transpile, await pipeline.take(other))
    async with pipeline.ledger.begin() as session:
        question = Question(NAME, other.carrier_id, other.batch_id, 60, {theirs: 0.5})
        await arbiter.get_ready(session, question, PolicyRules())
    await pipeline.steps(await pipeline.take(first))
    assert (
        await all_of(pipeline, mine) == [(JobState.COMPLETED, 1)] * 4 + [(JobState.QUEUED, 1)] * 6
    )
    await pipeline.steps(waiting, STEPS[1:])
    assert await all_of(pipeline, [theirs]) == [(JobState.COMPLETED, 1)]
    await pipeline.carry(first)
    assert await all_of(pipeline, mine) == [(JobState.COMPLETED, 1)] * 10
    assert len(qpu.executions()) == 11


async def test_what_a_crash_made_the_ledger_forget_is_taken_from_the_queue_again(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    """Taking a job does not wait for the disk; a crash of PostgreSQL may undo it."""
    (job_id,) = await pipeline.submit()
    carrying = await pipeline.begin(await pipeline.batch_of(job_id))
    chunk = await run(transpile, await pipeline.take(carrying))
    await rows(pipeline.ledger, "UPDATE jobs SET state = 'queued' RETURNING 1")
    async with asyncio.timeout(20):
        await pipeline.steps(chunk, STEPS[1:])
    assert await all_of(pipeline, [job_id]) == [(JobState.QUEUED, 1)]
    await pipeline.carry(carrying)
    assert await all_of(pipeline, [job_id]) == [(JobState.COMPLETED, 1)]
    assert len(qpu.executions()) == 1


async def test_a_turn_is_as_long_as_it_may_be(pipeline: Pipeline, qpu: JournalledQpu) -> None:
    mine = await pipeline.submit(10)
    first = await pipeline.begin(await pipeline.batch_of(mine[0]))
    chunk = await run(transpile, await pipeline.take(first))
    await book(pipeline, 4.4, 60, "olga")  # less 2 s of guard: time for four jobs of half a second
    await pipeline.steps(chunk, STEPS[1:])
    states = await all_of(pipeline, mine)
    assert states == [(JobState.COMPLETED, 1)] * 4 + [(JobState.QUEUED, 1)] * 6
    (reason,) = {(await pipeline.job(one)).reason for one in mine[4:]}
    assert reason == "It waits for its user's next turn"


async def test_what_overruns_into_a_booking_is_cut_off_and_runs_again_uncharged(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    pipeline.settings = Settings(policy=PolicyRules(guard_seconds=0.1))
    qpu.mischief.append(Mischief.HANG)
    (job_id,) = await pipeline.submit()
    carrying = await pipeline.begin(await pipeline.batch_of(job_id))
    chunk = await pipeline.steps(await pipeline.take(carrying), (transpile, book_slot, dispatch))
    await book(pipeline, -1, 3600, "olga")
    async with asyncio.timeout(30):
        await pipeline.steps(chunk, (wait, store))
    job = await pipeline.job(job_id)
    assert (job.state, job.attempt) == (JobState.QUEUED, 2)
    assert job.reason is not None
    assert "cut off" in job.reason
    assert job.estimate_seconds > 0.5
    assert await scalar(pipeline.ledger, "SELECT count(*) FROM charges") == 0
    await rows(pipeline.ledger, "UPDATE bookings SET state = 'cancelled' RETURNING 1")
    await pipeline.carry(carrying)
    assert (await pipeline.job(job_id)).state is JobState.COMPLETED
    assert len(qpu.executions()) == 2


async def test_a_job_that_waits_for_its_turn_can_be_cancelled_and_its_neighbours_wait_on(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    await book(pipeline, -1, 3600)
    ids = await pipeline.submit(2)
    carrying = await pipeline.begin(await pipeline.batch_of(ids[0]))
    chunk = await run(transpile, await pipeline.take(carrying))
    asking = asyncio.create_task(run(book_slot, chunk))
    async with pipeline.ledger.begin() as session:
        await jobs.request_cancel(session, USER, ids[0])
    async with asyncio.timeout(30):
        await run(store, await asking)
    assert await all_of(pipeline, ids) == [(JobState.CANCELLED, 1), (JobState.QUEUED, 1)]
    assert qpu.executions() == []


async def test_a_job_that_waits_past_its_latest_start_fails_and_its_neighbours_wait_on(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    (patient,) = await pipeline.submit()
    (hurried,) = await pipeline.submit(start_by=datetime.now(UTC) + timedelta(seconds=10))
    carrying = await pipeline.begin(await pipeline.batch_of(patient))
    chunk = await run(transpile, await pipeline.take(carrying))
    await book(pipeline, -1, 3600)
    async with asyncio.timeout(60):
        await run(store, await run(book_slot, chunk))
    assert await all_of(pipeline, [patient, hurried]) == [
        (JobState.QUEUED, 1),
        (JobState.FAILED, 1),
    ]
    assert "latest start" in str((await pipeline.job(hurried)).reason)
    assert qpu.executions() == []
    assert await scalar(pipeline.ledger, "SELECT count(*) FROM charges") == 0


async def test_who_waits_for_a_booking_to_end_leaves_its_seat_to_who_comes_before_it(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    await book(pipeline, -1, 3600)
    ids = await pipeline.submit(2)
    carrying = await pipeline.begin(await pipeline.batch_of(ids[0]))
    chunk = await pipeline.take(replace(carrying, is_outranked=lambda: True))
    async with asyncio.timeout(30):
        left = await run(store, await run(book_slot, await run(transpile, chunk)))
    assert left.is_put_back
    assert await all_of(pipeline, ids) == [(JobState.QUEUED, 1)] * 2
    assert await scalar(pipeline.ledger, ASKING) == 0


async def test_a_carrier_that_gives_up_asking_keeps_nobody_waiting(pipeline: Pipeline) -> None:
    await book(pipeline, -1, 3600)
    (job_id,) = await pipeline.submit()
    carrying = await pipeline.begin(await pipeline.batch_of(job_id))
    asking = asyncio.create_task(run(book_slot, await pipeline.take(carrying)))
    async with asyncio.timeout(30):
        while not await scalar(pipeline.ledger, ASKING):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait([asking])
    assert await scalar(pipeline.ledger, ASKING) == 0


async def pause(pipeline: Pipeline, reason: str) -> None:
    async with pipeline.ledger.begin() as session:
        await controls.set_control(session, OLGA, NAME, Control.PAUSED, reason)


async def test_a_qpu_that_is_paused_while_a_turn_is_handed_over_stops_after_the_current_job(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    ids = await pipeline.submit(3)
    carrying = await pipeline.begin(await pipeline.batch_of(ids[0]))
    qpu.on_accept = lambda: pause(pipeline, "helium")
    await pipeline.steps(await pipeline.take(carrying))
    assert len(qpu.executions()) == 1
    assert await all_of(pipeline, ids) == [
        (JobState.COMPLETED, 1),
        (JobState.QUEUED, 1),
        (JobState.QUEUED, 1),
    ]
    assert (await pipeline.job(ids[1])).reason == f"{NAME} is paused: helium (olga)"

    qpu.on_accept = None
    async with pipeline.ledger.begin() as session:
        await controls.set_control(session, OLGA, NAME, Control.OPEN, None)
    await pipeline.carry(carrying)
    assert await all_of(pipeline, ids) == [(JobState.COMPLETED, 1)] * 3
    assert len(qpu.executions()) == 3
