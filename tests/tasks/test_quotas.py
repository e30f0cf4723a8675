"""Quotas on a job's way: guessed at submission, known when it is compiled, settled at its end."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import text

from qpuflow.domain.job import JobState
from qpuflow.domain.principal import Principal, Role
from qpuflow.domain.quota import Allowance, QuotaExceeded, Scope
from qpuflow.ledger import accounts, quotas
from tests.tasks.journalled import JournalledQpu
from tests.tasks.pipeline import USER, Pipeline

OLGA = Principal("olga", "olga", frozenset({Role.USER, Role.OPERATOR}))
OWN = Scope("alice")


async def grant(pipeline: Pipeline, seconds: int) -> None:
    async with pipeline.ledger.begin() as session:
        await accounts.add_member(session, OLGA, "alice", "alice")
        await quotas.grant(session, OLGA, OWN, Decimal(seconds))


async def left(pipeline: Pipeline) -> Allowance:
    async with pipeline.ledger.begin() as session:
        (found,) = await quotas.of_project(session, USER, "alice")
    return found


async def test_a_guess_is_reserved_at_submission_and_the_time_used_is_settled(
    pipeline: Pipeline,
) -> None:
    await grant(pipeline, 100)
    (job_id,) = await pipeline.submit()
    guessed = (await pipeline.job(job_id)).estimate_seconds
    assert (await left(pipeline)).reserved == Decimal(f"{guessed:.6f}") > 1
    await pipeline.carry(await pipeline.begin(await pipeline.batch_of(job_id)))
    after = await left(pipeline)
    async with pipeline.ledger.begin() as session:
        charged = await session.scalar(text("SELECT seconds FROM charges"))
    assert (await pipeline.job(job_id)).state is JobState.COMPLETED
    assert (after.reserved, after.charged) == (0, charged)


async def test_a_job_that_cannot_be_paid_is_refused_before_anything_is_written(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    await grant(pipeline, 1)
    with pytest.raises(QuotaExceeded, match=r"1 s left on all QPUs.*quota request"):
        await pipeline.submit()
    assert (await left(pipeline)).reserved == 0


async def test_what_turns_out_to_take_too_long_when_it_is_compiled_is_not_dispatched(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    await grant(pipeline, 10)
    qpu.estimates = 11.0
    (job_id,) = await pipeline.submit()
    await pipeline.carry(await pipeline.begin(await pipeline.batch_of(job_id)))
    job = await pipeline.job(job_id)
    assert job.state is JobState.FAILED
    assert "has 10 s left on all QPUs, and the job asks for 11 s" in (job.reason or "")
    assert qpu.executions() == []
    after = await left(pipeline)
    assert (after.reserved, after.charged) == (0, 0)


async def test_what_turns_out_to_take_longer_reserves_that(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    await grant(pipeline, 10)
    qpu.estimates = 4.0
    first, second, third = await pipeline.submit(3)
    await pipeline.carry(await pipeline.begin(await pipeline.batch_of(first)))
    states = [(await pipeline.job(one)).state for one in (first, second, third)]
    assert sorted(states) == [JobState.COMPLETED, JobState.COMPLETED, JobState.FAILED]
