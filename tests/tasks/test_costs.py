"""Money on a job's way: estimated, limited, reserved, approved, and compared at the end."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from qpuflow.domain.cost import ApprovalState, CostLimit, Rate
from qpuflow.domain.errors import AccessDenied, Conflict, InputError, NotFound, Unavailable
from qpuflow.domain.job import JobState
from qpuflow.domain.policy import PolicyRules
from qpuflow.domain.principal import Principal, Role
from qpuflow.domain.quota import Allowance, Scope
from qpuflow.ledger import accounts, batches, carriers, costs, jobs, quotas, reports, statements
from tests.ledger.account_book import require_in_order
from tests.tasks.journalled import NAME, JournalledQpu, Mischief
from tests.tasks.pipeline import STEPS, USER, Pipeline

OLGA = Principal("olga", "olga", frozenset({Role.USER, Role.OPERATOR}))
BOB = Principal("bob", "bob")


@pytest.fixture
def qpu(qpu: JournalledQpu) -> JournalledQpu:
    """It expects 10 HQC of any job, and charges 12."""
    qpu.price = (10.0, 12.0, "HQC")
    return qpu


async def budget(
    pipeline: Pipeline, amount: int, unit: str = "HQC", qpu: str | None = None
) -> None:
    async with pipeline.ledger.begin() as session:
        await accounts.add_member(session, OLGA, "alice", "alice")
        await quotas.grant(session, OLGA, Scope("alice", None, unit), Decimal(amount))


async def left(pipeline: Pipeline, unit: str = "HQC") -> Allowance:
    async with pipeline.ledger.begin() as session:
        found = await quotas.of_project(session, USER, "alice")
    return next(one for one in found if one.scope.unit == unit)


async def limit(
    pipeline: Pipeline, unit: str = "HQC", ask: int | None = None, refuse: int | None = None
) -> None:
    ask_above, refuse_above = (None if one is None else Decimal(one) for one in (ask, refuse))
    async with pipeline.ledger.begin() as session:
        await costs.set_limit(session, OLGA, CostLimit(unit, ask_above, refuse_above, qpu=NAME))


async def rate(pipeline: Pipeline, unit: str, worth: str, qpu: str | None = None) -> None:
    async with pipeline.ledger.begin() as session:
        await costs.set_rate(session, OLGA, Rate(unit, Decimal(worth), qpu))


async def carried(pipeline: Pipeline, job_id: UUID | None = None) -> UUID:
    """A job, new or known, taken as far as it goes now, by a run that ends then."""
    if job_id is None:
        (job_id,) = await pipeline.submit()
    carrying = await pipeline.begin(await pipeline.batch_of(job_id))
    await pipeline.carry(carrying)
    async with pipeline.ledger.begin() as session:
        await batches.close_if_empty(session, carrying.batch_id)
        await carriers.finish(session, carrying.carrier_id)
    return job_id


async def approve(pipeline: Pipeline, job_id: UUID, who: Principal = OLGA, **given: Any) -> None:
    async with pipeline.ledger.begin() as session:
        await costs.approve(session, who, job_id, **given)


async def test_the_estimate_is_reserved_and_what_was_charged_is_compared_with_it(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    await budget(pipeline, 100)
    await budget(pipeline, 100, "credits")
    await rate(pipeline, "HQC", "7")
    await rate(pipeline, "HQC", "0.5", NAME)
    (job_id,) = await pipeline.submit()
    carrying = await pipeline.begin(await pipeline.batch_of(job_id))
    chunk = await pipeline.steps(await pipeline.take(carrying), STEPS[:3])
    assert [(await left(pipeline, unit)).reserved for unit in ("HQC", "credits")] == [10, 5]
    await require_in_order(pipeline.ledger)
    await pipeline.steps(chunk, STEPS[3:])
    for unit, charged in {"HQC": 12, "credits": 6}.items():
        after = await left(pipeline, unit)
        assert (after.reserved, after.charged) == (0, charged)
    await require_in_order(pipeline.ledger)
    cost = (await reports.read(pipeline.ledger, USER, job_id)).cost
    assert cost is not None
    assert (cost.unit, cost.estimated, cost.charged, cost.credits) == ("HQC", 10, 12, 6)
    assert (await reports.status(pipeline.ledger, USER, job_id, PolicyRules())).cost == cost


async def test_the_statement_has_the_cost_beside_the_estimate_and_adds_up(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    await carried(pipeline)
    await budget(pipeline, 100)
    await carried(pipeline)
    starts_at = (await pipeline.job(await carried(pipeline))).created_at.replace(day=1)
    made = await statements.make(pipeline.ledger, USER, "alice", starts_at)
    (line,) = made.costs
    assert (line.unit, line.jobs, line.cost, line.estimated) == ("HQC", 3, 36, 30)
    (account,) = made.allowances
    assert (account.opening, account.granted, account.charged) == (0, 100, 24)
    assert (account.closing, account.free) == (76, 12)


async def test_a_job_above_the_budget_is_refused_before_it_is_handed_over(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    await budget(pipeline, 15)
    first, second = await pipeline.submit(2)
    await carried(pipeline, first)
    ends = {(await pipeline.job(one)).state: await pipeline.job(one) for one in (first, second)}
    assert set(ends) == {JobState.COMPLETED, JobState.FAILED}
    reason = ends[JobState.FAILED].reason or ""
    assert "has 5 HQC left on all QPUs, and the job asks for 10 HQC" in reason
    assert "quota request 5 --unit HQC" in reason
    assert len(qpu.executions()) == 1
    await require_in_order(pipeline.ledger)


async def test_credits_are_one_budget_for_all_units(pipeline: Pipeline, qpu: JournalledQpu) -> None:
    await budget(pipeline, 9, "credits")
    job = await pipeline.job(await carried(pipeline))
    assert job.state is JobState.FAILED
    assert "qpuflow cost rate HQC" in (job.reason or "")
    await rate(pipeline, "HQC", "1")
    assert "has 9 credits left" in ((await pipeline.job(await carried(pipeline))).reason or "")
    qpu.price = (4.0, 4.0, "HQC")
    assert (await pipeline.job(await carried(pipeline))).state is JobState.COMPLETED
    await rate(pipeline, "qpu-seconds", "20", NAME)
    qpu.price = None
    job = await pipeline.job(await carried(pipeline))
    assert (job.state, qpu.estimates) == (JobState.FAILED, 0.5)
    assert "asks for 10 credits" in (job.reason or "")


async def test_a_job_that_must_be_asked_about_waits_for_an_operator_and_goes_on(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    await budget(pipeline, 100)
    await limit(pipeline, ask=9, refuse=20)
    job_id = await carried(pipeline)
    job = await pipeline.job(job_id)
    assert job.state is JobState.UNAPPROVED
    assert "about 10 HQC, more than the 9 HQC allowed" in (job.reason or "")
    assert qpu.executions() == []
    assert (await left(pipeline)).reserved == 10
    async with pipeline.ledger.begin() as session:
        (asked,) = await costs.approvals(session, OLGA, state=ApprovalState.PENDING)
    assert (asked.job_id, asked.amount, asked.unit, asked.user) == (job_id, 10, "HQC", "alice")
    await approve(pipeline, job_id, answer="for the paper")
    await carried(pipeline, job_id)
    job = await pipeline.job(job_id)
    assert (job.state, job.attempt) == (JobState.COMPLETED, 1)
    assert len(qpu.executions()) == 1
    async with pipeline.ledger.begin() as session:
        history = [event.detail for event in await jobs.history(session, USER, job_id)]
    assert "10 HQC approved by olga: for the paper" in history
    await require_in_order(pipeline.ledger)


async def test_what_is_rejected_fails_with_the_operators_words_and_gives_back(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    await budget(pipeline, 100)
    await limit(pipeline, ask=9)
    job_id = await carried(pipeline)
    async with pipeline.ledger.begin() as session:
        await costs.reject(session, OLGA, job_id, "use the emulator")
    job = await pipeline.job(job_id)
    assert (job.state, job.reason) == (
        JobState.FAILED,
        "10 HQC not approved by olga: use the emulator",
    )
    assert (await left(pipeline)).reserved == 0
    with pytest.raises(Conflict, match="nobody is asked"):
        await approve(pipeline, job_id)


async def test_an_approval_is_good_for_a_second_attempt_and_not_for_a_higher_price(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    await limit(pipeline, ask=9)
    job_id = await carried(pipeline)
    await approve(pipeline, job_id, amount=Decimal(11))
    qpu.mischief.append(Mischief.LOSE_REQUEST)
    qpu.price = (12.0, 12.0, "HQC")
    await carried(pipeline, job_id)
    assert (await pipeline.job(job_id)).state is JobState.UNAPPROVED
    await approve(pipeline, job_id)
    await carried(pipeline, job_id)
    job = await pipeline.job(job_id)
    assert (job.state, job.attempt) == (JobState.COMPLETED, 2)
    assert len(qpu.executions()) == 1


async def test_above_the_higher_limit_nobody_is_asked(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    await limit(pipeline, ask=5, refuse=9)
    job = await pipeline.job(await carried(pipeline))
    assert job.state is JobState.FAILED
    assert qpu.executions() == []
    async with pipeline.ledger.begin() as session:
        assert await costs.approvals(session, OLGA) == []


async def test_a_job_that_would_cost_more_than_its_user_said_fails_and_its_neighbours_go_on(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    (dear,) = await pipeline.submit(max_cost="9 HQC")
    (cheap,) = await pipeline.submit(max_cost="10 HQC")
    await carried(pipeline, dear)
    jobs = [await pipeline.job(one) for one in (dear, cheap)]
    assert [job.state for job in jobs] == [JobState.FAILED, JobState.COMPLETED]
    assert "about 10 HQC, more than the 9 HQC allowed" in (jobs[0].reason or "")
    assert len(qpu.executions()) == 1


async def test_a_limited_job_whose_price_cannot_be_told_waits(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    qpu.silent_estimates = 1
    (job_id,) = await pipeline.submit(max_cost="10 HQC")
    with pytest.raises(Unavailable, match="cannot be told now"):
        await carried(pipeline, job_id)
    assert qpu.executions() == []


async def test_what_is_asked_about_a_job_that_is_cancelled_is_withdrawn(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    await limit(pipeline, ask=9)
    job_id = await carried(pipeline)
    async with pipeline.ledger.begin() as session:
        assert await costs.approvals(session, OLGA, state=ApprovalState.WITHDRAWN) == []
        assert await jobs.request_cancel(session, USER, job_id) is JobState.CANCELLED
        (asked,) = await costs.approvals(session, OLGA)
        assert asked.state is ApprovalState.WITHDRAWN
        assert await costs.approvals(session, OLGA, state=ApprovalState.PENDING) == []
        assert await costs.approvals(session, OLGA, state=ApprovalState.WITHDRAWN) == [asked]


async def test_the_neighbours_of_a_job_that_waits_for_an_answer_go_on(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    await limit(pipeline, ask=9)
    (waits,) = await pipeline.submit()
    carrying = await pipeline.begin(await pipeline.batch_of(waits))
    await pipeline.steps(await pipeline.take(carrying))
    qpu.price = (1.0, 1.0, "HQC")
    (other,) = await pipeline.submit()
    assert await pipeline.batch_of(other) == carrying.batch_id
    await pipeline.steps(await pipeline.take(carrying))
    states = [(await pipeline.job(one)).state for one in (waits, other)]
    assert states == [JobState.UNAPPROVED, JobState.COMPLETED]
    async with pipeline.ledger.begin() as session:
        assert await jobs.request_cancel(session, USER, waits) is JobState.CANCELLED


async def test_a_price_that_cannot_be_told_now_is_waited_for_only_where_it_is_limited(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    qpu.silent_estimates = 1
    assert (await pipeline.job(await carried(pipeline))).state is JobState.COMPLETED
    await limit(pipeline, ask=9)
    qpu.silent_estimates = 1
    with pytest.raises(Unavailable, match="cannot be told now"):
        await carried(pipeline)
    assert len(qpu.executions()) == 1


async def test_only_operators_decide_and_nobody_sees_strangers_prices(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    await limit(pipeline, ask=9)
    job_id = await carried(pipeline)
    with pytest.raises(AccessDenied):
        await approve(pipeline, job_id, USER)
    with pytest.raises(InputError, match="more than 5 HQC"):
        await approve(pipeline, job_id, amount=Decimal(5))
    async with pipeline.ledger.begin() as session:
        assert await costs.approvals(session, BOB) == []
        assert [one.job_id for one in await costs.approvals(session, USER)] == [job_id]
        for change in (
            costs.set_rate(session, USER, Rate("HQC", Decimal(1))),
            costs.set_limit(session, USER, CostLimit("HQC", Decimal(1), None)),
            costs.remove_limit(session, USER, CostLimit("HQC", None, None)),
            costs.reject(session, USER, job_id, "mine"),
        ):
            with pytest.raises(AccessDenied):
                await change


async def test_a_limit_is_replaced_and_removed(pipeline: Pipeline, qpu: JournalledQpu) -> None:
    await limit(pipeline, ask=9)
    await limit(pipeline, ask=50)
    async with pipeline.ledger.begin() as session:
        (found,) = await costs.limits(session)
        assert (found.ask_above, found.qpu) == (50, NAME)
        await costs.remove_limit(session, OLGA, found)
        assert await costs.limits(session) == []
        with pytest.raises(NotFound):
            await costs.remove_limit(session, OLGA, found)
