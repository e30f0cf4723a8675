"""The history of a job: complete, in step with its state, and never rewritten."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy.exc import DBAPIError

from qpuflow.domain.job import IllegalTransition, JobState
from qpuflow.domain.principal import service
from qpuflow.ledger import events, jobs
from qpuflow.ledger.database import Ledger
from tests.ledger.entities import ALICE, BOB, CARRIER, complete, job_of, rows, scalar, submit

CHAIN = """
SELECT count(*) FROM (
    SELECT from_state, lag(to_state) OVER (PARTITION BY job_id ORDER BY id) AS before
    FROM job_events) e
WHERE from_state IS DISTINCT FROM before
"""
LAST = """
SELECT count(*) FROM jobs j WHERE state <> (
    SELECT to_state FROM job_events e WHERE e.job_id = j.id ORDER BY e.id DESC LIMIT 1)
"""


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE job_events SET actor = 'nobody'",
        "DELETE FROM job_events",
        "DELETE FROM jobs",
    ],
)
async def test_the_database_refuses_to_change_history(ledger: Ledger, statement: str) -> None:
    await complete(ledger)
    with pytest.raises(DBAPIError, match="append-only"):
        await rows(ledger, statement)
    assert await scalar(ledger, "SELECT count(*) FROM job_events") > 0


async def test_every_change_has_its_event(ledger: Ledger) -> None:
    job = await complete(ledger)
    async with ledger.begin() as session:
        history = await jobs.history(session, service("test"), job.id)
    assert [event.to_state for event in history] == [
        "queued",
        "preparing",
        "running",
        "waiting",
        "completed",
    ]
    assert [event.actor for event in history] == ["alice", *["carrier"] * 4]
    assert await scalar(ledger, CHAIN) == 0
    assert await scalar(ledger, LAST) == 0


@pytest.mark.parametrize(
    "to", [JobState.RUNNING, JobState.WAITING, JobState.COMPLETED, JobState.AMBIGUOUS]
)
async def test_an_illegal_transition_raises_and_leaves_no_trace(
    ledger: Ledger, to: JobState
) -> None:
    accepted = await submit(ledger)
    with pytest.raises(IllegalTransition, match="is queued"):
        async with ledger.begin() as session:
            await events.require_move(session, CARRIER, [accepted.job_id], to)
    assert (await job_of(ledger, accepted.job_id)).state is JobState.QUEUED
    assert await scalar(ledger, "SELECT count(*) FROM job_events") == 1


async def test_nothing_leaves_a_completed_job(ledger: Ledger) -> None:
    job = await complete(ledger)
    async with ledger.begin() as session:
        for to in JobState:
            assert await events.move(session, CARRIER, [job.id], to) == set()


async def test_of_several_jobs_those_move_that_may(ledger: Ledger) -> None:
    queued, done = await submit(ledger), await complete(ledger, BOB)
    async with ledger.begin() as session:
        moved = await events.move(
            session, CARRIER, [queued.job_id, done.id, uuid4()], JobState.CANCELLED
        )
    assert moved == {queued.job_id}


async def test_of_many_who_end_a_job_at_once_one_does(ledger: Ledger) -> None:
    accepted = await submit(ledger)

    async def end(to: JobState) -> bool:
        async with ledger.begin() as session:
            return bool(await events.move(session, CARRIER, [accepted.job_id], to, reason=to))

    ends = [JobState.FAILED, JobState.CANCELLED] * 8
    moved = await asyncio.gather(*(end(to) for to in ends))
    assert moved.count(True) == 1
    assert await scalar(ledger, "SELECT count(*) FROM job_events") == 2
    assert await scalar(ledger, CHAIN) == 0
    assert await scalar(ledger, LAST) == 0


async def test_history_and_state_agree_after_a_storm(ledger: Ledger) -> None:
    accepted = [await submit(ledger) for _ in range(5)]
    ids = [one.job_id for one in accepted]

    async def push(to: JobState) -> None:
        for _ in range(6):
            async with ledger.begin() as session:
                await events.move(session, CARRIER, ids, to)

    states = [JobState.PREPARING, JobState.QUEUED, JobState.RUNNING, JobState.FAILED]
    await asyncio.gather(*(push(to) for to in states * 2))
    assert await scalar(ledger, CHAIN) == 0
    assert await scalar(ledger, LAST) == 0


async def test_a_cancellation_says_who_and_through_what(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    async with ledger.begin() as session:
        await jobs.request_cancel(session, ALICE, accepted.job_id)
        last = (await jobs.history(session, service("test"), accepted.job_id))[-1]
    assert (last.actor, last.via, last.to_state) == ("alice", "python", "cancelled")
