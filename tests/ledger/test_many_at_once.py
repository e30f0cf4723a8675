"""Many jobs in one submission: in their order, all of them or none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest
from sqlalchemy import text

from qpuflow.domain.errors import Conflict
from qpuflow.domain.quota import QuotaExceeded, Scope
from qpuflow.ledger import intents, submissions
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.new_jobs import Submission
from qpuflow.ledger.submissions import Accepted
from tests.ledger.account_book import grant
from tests.ledger.entities import (
    ALICE,
    SOURCE,
    complete,
    hand_over,
    register,
    scalar,
    submission,
    submit,
    take,
)


async def wanted(ledger: Ledger, count: int, qpu: str = "rack") -> list[Submission]:
    return [await submission(ledger, f"{qpu}/{number}", qpu=qpu) for number in range(count)]


async def submit_all(ledger: Ledger, all_of: Sequence[Submission]) -> list[Accepted]:
    return await submissions.accept_all(ledger, ALICE, all_of)


async def test_they_travel_together_in_their_order(ledger: Ledger) -> None:
    answers = await submit_all(ledger, await wanted(ledger, 30))
    assert len({answer.batch_id for answer in answers}) == 1
    taken = await take(ledger, answers[0].batch_id, 30)
    assert [job.id for job in taken] == [answer.job_id for answer in answers]
    assert await scalar(ledger, "SELECT job_count FROM batches") == 30
    assert await scalar(ledger, "SELECT count(*) FROM job_events WHERE detail = 'accepted'") == 30


async def test_those_for_several_qpus_get_a_batch_on_each(ledger: Ledger) -> None:
    await register(ledger, "other")
    mixed = [*await wanted(ledger, 2), *await wanted(ledger, 2, "other")]
    mixed = [mixed[0], mixed[2], mixed[1], mixed[3]]
    answers = await submit_all(ledger, mixed)
    async with ledger.begin() as session:
        rows = await session.execute(text("SELECT id, qpu, batch_id FROM jobs"))
        qpus = {job_id: (qpu, batch_id) for job_id, qpu, batch_id in rows.tuples()}
    assert [qpus[answer.job_id] for answer in answers] == [
        (one.qpu, answer.batch_id) for one, answer in zip(mixed, answers, strict=True)
    ]


async def test_those_that_were_submitted_before_are_answered_with_their_jobs(
    ledger: Ledger,
) -> None:
    all_of = await wanted(ledger, 5)
    first = await submit_all(ledger, all_of[1:3])
    answers = await submit_all(ledger, all_of)
    assert [answer.is_new for answer in answers] == [True, False, False, True, True]
    assert [answer.job_id for answer in answers[1:3]] == [answer.job_id for answer in first]


async def test_one_key_twice_is_one_job(ledger: Ledger) -> None:
    (one,) = await wanted(ledger, 1)
    first, second = await submit_all(ledger, [one, one])
    assert first.job_id == second.job_id
    assert await scalar(ledger, "SELECT count(*) FROM jobs") == 1


async def test_a_key_with_other_content_refuses_them_all(ledger: Ledger) -> None:
    await submit(ledger, ALICE, key="rack/1", source=SOURCE + "// other")
    with pytest.raises(Conflict, match="rack/1"):
        await submit_all(ledger, await wanted(ledger, 3))
    twice = [await submission(ledger, "k"), await submission(ledger, "k", SOURCE + "// other")]
    with pytest.raises(Conflict, match="another job of this submission"):
        await submit_all(ledger, twice)
    assert await scalar(ledger, "SELECT count(*) FROM jobs") == 1


async def test_what_the_project_cannot_pay_whole_is_refused_whole(ledger: Ledger) -> None:
    await submit(ledger)
    await grant(ledger, Scope("alice"), "10")
    dear = [await submission(ledger, str(number), estimate_seconds=3.0) for number in range(4)]
    with pytest.raises(QuotaExceeded, match="12"):
        await submit_all(ledger, dear)
    assert await scalar(ledger, "SELECT count(*) FROM jobs") == 1
    await submit_all(ledger, dear[:3])
    assert await scalar(ledger, "SELECT reserved FROM allowances") == Decimal(9)
    assert await scalar(ledger, "SELECT count(*) FROM reservations WHERE amount = 3") == 3


async def test_two_who_submit_the_same_at_once_get_the_same_jobs(ledger: Ledger) -> None:
    all_of = await wanted(ledger, 20)
    one, other = await asyncio.gather(submit_all(ledger, all_of), submit_all(ledger, all_of))
    assert [answer.job_id for answer in one] == [answer.job_id for answer in other]
    assert await scalar(ledger, "SELECT count(*) FROM jobs") == 20
    assert await scalar(ledger, "SELECT job_count FROM batches") == 20


async def test_a_rack_may_ask_about_more_tokens_than_a_statement_has_parameters(
    ledger: Ledger,
) -> None:
    done = intents.token_of(await complete(ledger))
    waiting = await submit(ledger)
    taken = await take(ledger, waiting.batch_id)
    await hand_over(ledger, taken)
    asked = [f"unknown-{number}" for number in range(40_000)]
    async with ledger.begin() as session:
        found = await intents.settled(session, [*asked, intents.token_of(taken[0]), done])
    assert found == [done]
