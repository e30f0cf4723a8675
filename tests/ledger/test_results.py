"""Results: stored and charged once, or not at all."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from sqlalchemy.exc import IntegrityError

from qpuflow.domain.errors import AccessDenied, NotFound
from qpuflow.domain.job import Job, JobState
from qpuflow.domain.principal import service
from qpuflow.ledger import accounts, events, intents, jobs, programs, reports, results
from qpuflow.ledger.database import Ledger
from tests.ledger.entities import (
    ALICE,
    BOB,
    CARRIER,
    begin,
    complete,
    finished,
    hand_over,
    job_of,
    rows,
    scalar,
    store,
    submit,
    take,
)

CHARGES = "SELECT job_id, project, seconds FROM charges"


async def waiting_job(ledger: Ledger) -> Job:
    accepted = await submit(ledger)
    await begin(ledger, accepted.batch_id)
    taken = await take(ledger, accepted.batch_id)
    await hand_over(ledger, taken)
    return taken[0]


async def test_a_result_comes_with_its_charge_state_and_event(ledger: Ledger) -> None:
    job = await waiting_job(ledger)
    assert await store(ledger, [await finished(ledger, job, 0.25)]) == {job.id}
    assert await rows(ledger, CHARGES) == [(job.id, "alice", Decimal("0.250000"))]
    async with ledger.begin() as session:
        (dataset,) = await results.read(ledger, session, service("test"), job.id)
        last = (await jobs.history(session, service("test"), job.id))[-1]
    assert dataset["counts"].values.tolist() == [[4, 6]]
    assert dataset.attrs["job"] == str(job.id)
    assert last.to_state == "completed"
    stored = await job_of(ledger, job.id)
    assert (stored.state, stored.timings["wait_seconds"]) == (JobState.COMPLETED, 0.1)


async def test_storing_again_does_nothing(ledger: Ledger) -> None:
    job = await waiting_job(ledger)
    await store(ledger, [await finished(ledger, job, 0.25)])
    assert await store(ledger, [await finished(ledger, job, 99.0)]) == set()
    assert await rows(ledger, CHARGES) == [(job.id, "alice", Decimal("0.250000"))]


async def test_parallel_stores_charge_once(ledger: Ledger) -> None:
    job = await waiting_job(ledger)
    done = [await finished(ledger, job, float(seconds)) for seconds in range(1, 9)]
    stored = await asyncio.gather(*(store(ledger, [one]) for one in done))
    assert [bool(one) for one in stored].count(True) == 1
    assert await scalar(ledger, "SELECT count(*) FROM charges") == 1
    assert await scalar(ledger, "SELECT count(*) FROM results") == 1


async def test_a_cancelled_job_keeps_its_end_and_costs_nothing(ledger: Ledger) -> None:
    job = await waiting_job(ledger)
    async with ledger.begin() as session:
        await events.move(session, ALICE, [job.id], JobState.CANCELLED, reason="changed my mind")
    assert await store(ledger, [await finished(ledger, job)]) == set()
    assert (await job_of(ledger, job.id)).reason == "changed my mind"
    assert await rows(ledger, CHARGES) == []
    assert (await reports.read(ledger, ALICE, job.id)).state is JobState.CANCELLED


async def test_a_cancellation_and_a_result_at_once_leave_one_of_them(ledger: Ledger) -> None:
    for _ in range(5):
        job = await waiting_job(ledger)
        done = await finished(ledger, job)

        async def cancel(job: Job = job) -> bool:
            async with ledger.begin() as session:
                return bool(await events.move(session, ALICE, [job.id], JobState.CANCELLED))

        cancelled, stored = await asyncio.gather(cancel(), store(ledger, [done]))
        assert cancelled != bool(stored)
        count = "SELECT count(*) FROM charges WHERE job_id = :id"
        assert await scalar(ledger, count, id=job.id) == len(stored)
        await rows(ledger, "UPDATE carriers SET state = 'done' RETURNING 1")
        await rows(ledger, "UPDATE batches SET state = 'closed' RETURNING 1")


async def test_neighbours_of_a_cancelled_job_are_stored(ledger: Ledger) -> None:
    accepted = [await submit(ledger) for _ in range(3)]
    await begin(ledger, accepted[0].batch_id)
    taken = await take(ledger, accepted[0].batch_id)
    await hand_over(ledger, taken)
    async with ledger.begin() as session:
        await events.move(session, ALICE, [taken[1].id], JobState.CANCELLED)
    stored = await store(ledger, [await finished(ledger, job) for job in taken])
    assert stored == {taken[0].id, taken[2].id}


async def test_a_result_that_cannot_be_charged_is_not_stored(ledger: Ledger) -> None:
    job = await waiting_job(ledger)
    with pytest.raises(IntegrityError, match="not_negative"):
        await store(ledger, [await finished(ledger, job, -1.0)])
    assert (await job_of(ledger, job.id)).state is JobState.WAITING
    assert await scalar(ledger, "SELECT count(*) FROM results") == 0


async def test_a_second_intent_for_one_attempt_is_refused(ledger: Ledger) -> None:
    job = await waiting_job(ledger)
    again = intents.written([job], ["other"], 2)
    async with ledger.begin() as session:
        await events.require_move(session, CARRIER, [job.id], JobState.QUEUED)
        await events.require_move(session, CARRIER, [job.id], JobState.PREPARING)
    with pytest.raises(IntegrityError):
        async with ledger.begin() as session:
            await events.move(session, CARRIER, [job.id], JobState.RUNNING, besides=again)


async def test_the_first_ticket_of_an_attempt_stands(ledger: Ledger) -> None:
    job = await waiting_job(ledger)
    late = {"token": intents.token_of(job), "remote_id": "another", "details": {}}
    async with ledger.begin() as session:
        besides = intents.accepted([late])
        await events.move(session, CARRIER, [job.id], JobState.WAITING, besides=besides)
        known = (await intents.find(session, [job]))[job.id]
    assert known.remote_id == f"remote-{job.id}"


async def test_a_new_attempt_knows_nothing_of_the_last_ones_ticket(ledger: Ledger) -> None:
    job = await waiting_job(ledger)
    async with ledger.begin() as session:
        await events.require_move(session, CARRIER, [job.id], JobState.QUEUED)
        await jobs.next_attempt(session, [job.id])
    again = await job_of(ledger, job.id)
    assert intents.token_of(again) != intents.token_of(job)
    async with ledger.begin() as session:
        assert await intents.find(session, [again]) == {}


async def test_balances_are_exact_when_many_jobs_end_at_once(ledger: Ledger) -> None:
    accepted = [await submit(ledger) for _ in range(20)]
    await begin(ledger, accepted[0].batch_id)
    taken = await take(ledger, accepted[0].batch_id)
    await hand_over(ledger, taken)
    done = [await finished(ledger, job, 0.1) for job in taken]
    await asyncio.gather(*(store(ledger, [one]) for one in done for _ in range(2)))
    assert await scalar(ledger, "SELECT sum(seconds) FROM charges") == Decimal("2.000000")


async def test_jobs_of_one_content_share_the_bytes(ledger: Ledger) -> None:
    first, second = await complete(ledger), await complete(ledger)
    query = "SELECT count(DISTINCT source_hash) FROM programs WHERE job_id IN (:a, :b)"
    assert await scalar(ledger, query, a=first.id, b=second.id) == 1


async def test_nobody_reads_what_came_of_anothers_job(ledger: Ledger) -> None:
    job = await complete(ledger)
    async with ledger.begin() as session:
        assert await results.read(ledger, session, ALICE, job.id)
        for reading in (
            results.read(ledger, session, BOB, job.id),
            programs.executed(ledger, session, BOB, job.id),
            jobs.history(session, BOB, job.id),
        ):
            with pytest.raises(NotFound):
                await reading
        with pytest.raises(AccessDenied):
            await accounts.members(session, BOB, "alice")
        with pytest.raises(AccessDenied):
            await accounts.add_member(session, BOB, "alice", "bob")
