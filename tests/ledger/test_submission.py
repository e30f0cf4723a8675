"""Accepting jobs: idempotent by user and key, and nobody else's."""

from __future__ import annotations

import asyncio
import random
from uuid import uuid4

import pytest
from sqlalchemy import text

from qpuflow.domain.errors import AccessDenied, Conflict, NotFound
from qpuflow.domain.job import JobState
from qpuflow.domain.principal import Principal, Role, service
from qpuflow.ledger import accounts, events, jobs, reports
from qpuflow.ledger.database import Ledger
from tests.ledger.entities import (
    ALICE,
    BOB,
    CARRIER,
    SOURCE,
    begin,
    complete,
    hand_over,
    scalar,
    source_of,
    submit,
    take,
)

OPERATOR = Principal("olga", "olga", frozenset({Role.OPERATOR}))


async def test_the_same_key_with_the_same_content_is_the_same_job(ledger: Ledger) -> None:
    first = await submit(ledger, key="k")
    again = await submit(ledger, key="k")
    assert (again.job_id, again.batch_id, again.is_new) == (first.job_id, first.batch_id, False)
    assert await scalar(ledger, "SELECT count(*) FROM jobs") == 1
    assert await source_of(ledger, first.job_id) == SOURCE


async def test_the_same_key_with_other_content_is_a_conflict(ledger: Ledger) -> None:
    await submit(ledger, key="k")
    with pytest.raises(Conflict, match="other content"):
        await submit(ledger, key="k", source=SOURCE + "// changed")


async def test_two_users_may_use_the_same_key(ledger: Ledger) -> None:
    assert (await submit(ledger, ALICE, key="k")).job_id != (
        await submit(ledger, BOB, key="k")
    ).job_id


async def test_a_finished_job_answers_to_its_key_too(ledger: Ledger) -> None:
    job = await complete(ledger)
    assert (await submit(ledger, key=job.key)).job_id == job.id


async def test_many_writers_with_one_key_make_one_job(ledger: Ledger) -> None:
    answers = await asyncio.gather(*(submit(ledger, key="k") for _ in range(30)))
    assert len({answer.job_id for answer in answers}) == 1
    assert [answer.is_new for answer in answers].count(True) == 1
    assert await scalar(ledger, "SELECT count(*) FROM jobs") == 1
    assert await scalar(ledger, "SELECT job_count FROM batches") == 1


async def test_one_of_two_contents_under_one_key_wins_and_the_others_are_told(
    ledger: Ledger,
) -> None:
    sources = [SOURCE + f"// {index % 2}" for index in range(20)]
    answers = await asyncio.gather(
        *(submit(ledger, key="k", source=source) for source in sources), return_exceptions=True
    )
    assert sum(isinstance(answer, Conflict) for answer in answers) == 10
    assert await scalar(ledger, "SELECT count(*) FROM jobs") == 1


async def test_programs_in_opposite_orders_do_not_deadlock(ledger: Ledger) -> None:
    contents = [str(uuid4()).encode() for _ in range(40)]
    kept = [await ledger.payloads.keep(content, "text/plain") for content in contents]

    async def record(backwards: bool) -> None:
        async with ledger.begin() as session:
            await ledger.payloads.record(session, reversed(kept) if backwards else kept)

    for _ in range(5):
        await asyncio.gather(*(record(index % 2 == 0) for index in range(8)))
        async with ledger.begin() as session:
            await session.execute(text("DELETE FROM payloads"))


async def test_what_is_written_is_what_was_accepted(ledger: Ledger) -> None:
    """Also where JSON has a way of its own: numbers that are no round ones, quotes, accents."""
    key, seconds = 'it\'s "Ä" \\ 量子', 0.1 + 0.2
    accepted = await submit(ledger, key=key, estimate_seconds=seconds)
    async with ledger.begin() as session:
        job = await jobs.find(session, ALICE, accepted.job_id)
    assert (job.key, job.estimate_seconds, job.state) == (key, seconds, JobState.QUEUED)


async def test_a_foreign_project_is_refused_and_nothing_is_written(ledger: Ledger) -> None:
    with pytest.raises(AccessDenied, match="not a member"):
        await submit(ledger, Principal("alice", "secret"))
    assert await scalar(ledger, "SELECT count(*) FROM jobs") == 0
    assert await scalar(ledger, "SELECT count(*) FROM batches") == 0


async def test_a_member_may_use_the_project(ledger: Ledger) -> None:
    async with ledger.begin() as session:
        await accounts.add_member(session, service("test"), "lab", "alice")
    assert (await submit(ledger, Principal("alice", "lab"))).is_new


async def test_others_cannot_find_resolve_list_read_retry_or_cancel_a_job(ledger: Ledger) -> None:
    accepted = await submit(ledger, ALICE, key="mine")
    job_id = accepted.job_id
    async with ledger.begin() as session:
        for name in ("mine", str(job_id), str(job_id)[:8], "%", "_", ""):
            with pytest.raises(NotFound):
                await jobs.resolve(session, BOB, name)
        with pytest.raises(NotFound):
            await jobs.find(session, BOB, job_id)
        with pytest.raises(NotFound):
            await jobs.request_cancel(session, BOB, job_id)
        with pytest.raises(NotFound):
            await jobs.retry(session, BOB, job_id)
        assert await jobs.recent(session, BOB) == []
        assert await jobs.states(session, BOB, [job_id]) == {}
    with pytest.raises(NotFound):
        await reports.read(ledger, BOB, job_id)
    async with ledger.begin() as session:
        assert (await jobs.find(session, ALICE, job_id)).state is JobState.QUEUED


async def test_a_job_that_is_not_theirs_looks_like_one_that_does_not_exist(ledger: Ledger) -> None:
    accepted, unknown_id = await submit(ledger, ALICE), uuid4()
    async with ledger.begin() as session:
        with pytest.raises(NotFound) as foreign:
            await jobs.find(session, BOB, accepted.job_id)
        with pytest.raises(NotFound) as unknown:
            await jobs.find(session, BOB, unknown_id)
    assert str(foreign.value).replace(str(accepted.job_id), str(unknown_id)) == str(unknown.value)


async def test_an_operator_sees_and_cancels_everybodys_jobs(ledger: Ledger) -> None:
    accepted = await submit(ledger, ALICE, key="mine")
    async with ledger.begin() as session:
        assert await jobs.resolve(session, OPERATOR, str(accepted.job_id)[:8]) == accepted.job_id
        assert [job.id for job in await jobs.recent(session, OPERATOR)] == [accepted.job_id]
        state = await jobs.request_cancel(session, OPERATOR, accepted.job_id)
    assert state is JobState.CANCELLED


async def test_owners_find_their_job_by_key_and_by_its_first_characters(ledger: Ledger) -> None:
    accepted = await submit(ledger, ALICE, key="100%_done")
    async with ledger.begin() as session:
        assert await jobs.resolve(session, ALICE, "100%_done") == accepted.job_id
        assert await jobs.resolve(session, ALICE, str(accepted.job_id)[:6]) == accepted.job_id


async def test_nothing_is_no_name_of_a_job(ledger: Ledger) -> None:
    await submit(ledger, ALICE)
    async with ledger.begin() as session:
        for nothing in ("", "%", "_"):
            with pytest.raises(NotFound):
                await jobs.resolve(session, ALICE, nothing)


async def test_cancelling_a_job_at_work_asks_for_it_and_says_its_true_state(
    ledger: Ledger,
) -> None:
    accepted = await submit(ledger)
    await begin(ledger, accepted.batch_id)
    await hand_over(ledger, await take(ledger, accepted.batch_id))
    async with ledger.begin() as session:
        assert await jobs.request_cancel(session, ALICE, accepted.job_id) is JobState.WAITING
        assert await jobs.asked_to_cancel(session, [accepted.job_id]) == {accepted.job_id}


async def test_a_retried_job_has_a_new_attempt_and_a_carrier(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    await begin(ledger, accepted.batch_id)
    async with ledger.begin() as session:
        await events.move(session, CARRIER, [accepted.job_id], JobState.FAILED, reason="broken")
        await session.execute(text("UPDATE batches SET state = 'closed'"))
        await session.execute(text("UPDATE carriers SET state = 'done'"))
    async with ledger.begin() as session:
        await jobs.retry(session, ALICE, accepted.job_id)
    job = await scalar(ledger, "SELECT (state, attempt)::text FROM jobs")
    assert job == "(queued,2)"
    assert await scalar(ledger, "SELECT count(*) FROM carriers WHERE state = 'pending'") == 1


async def test_the_first_jobs_of_a_new_user_may_come_at_once(ledger: Ledger) -> None:
    """One may become a member between another's two looks."""

    async def soon(new: Principal) -> None:
        await asyncio.sleep(random.uniform(0, 0.05))
        await submit(ledger, new)

    for number in range(25):
        new = Principal(f"new-{number}", f"new-{number}")
        await asyncio.gather(*(soon(new) for _ in range(8)))
