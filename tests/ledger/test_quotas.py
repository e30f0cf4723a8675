"""Quotas: what is reserved, refused, given back and settled, and who may change it."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from qpuflow.domain.errors import AccessDenied, Conflict, InputError, NotFound
from qpuflow.domain.job import Job, JobState
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import QuotaExceeded, RequestState, Scope
from qpuflow.ledger import events, jobs, quotas, reservations
from qpuflow.ledger.database import Ledger
from tests.ledger.account_book import (
    LAB,
    LAB_ON_RACK,
    OPERATOR,
    allowance,
    grant,
    open_lab,
    require_in_order,
    revoke,
)
from tests.ledger.entities import (
    ALICE,
    BOB,
    CARRIER,
    begin,
    complete,
    eventually_waits,
    finished,
    hand_over,
    job_of,
    register,
    scalar,
    store,
    submit,
    take,
)

IN_LAB = Principal("alice", "lab")


async def lab(ledger: Ledger, amount: str, scope: Scope = LAB) -> None:
    await open_lab(ledger, "alice")
    await grant(ledger, scope, amount)


async def taken(ledger: Ledger, estimate_seconds: float) -> Job:
    """A job of the lab that a carrier prepares."""
    accepted = await submit(ledger, IN_LAB, estimate_seconds=estimate_seconds)
    await begin(ledger, accepted.batch_id)
    return (await take(ledger, accepted.batch_id))[0]


async def at_the_qpu(ledger: Ledger, estimate_seconds: float) -> Job:
    job = await taken(ledger, estimate_seconds)
    await hand_over(ledger, [job])
    return job


async def end(ledger: Ledger, job: Job, state: JobState) -> None:
    async with ledger.begin() as session:
        await events.require_move(session, CARRIER, [job.id], state, reason="test")


async def adjusted(ledger: Ledger, job: Job, seconds: float) -> dict[object, QuotaExceeded]:
    async with ledger.begin() as session:
        found = await reservations.adjust(session, Scope("lab", "rack"), {job.id: seconds})
    return {**found}


async def test_a_project_without_an_allowance_has_no_limit(ledger: Ledger) -> None:
    assert (await submit(ledger, ALICE, estimate_seconds=1e12)).is_new
    async with ledger.begin() as session:
        assert await quotas.of_project(session, ALICE, "alice") == []


async def test_a_submission_reserves_its_estimate(ledger: Ledger) -> None:
    await lab(ledger, "10")
    await submit(ledger, IN_LAB, estimate_seconds=2.5)
    after = await allowance(ledger, LAB)
    assert (after.reserved, after.available) == (Decimal("2.5"), Decimal("7.5"))
    await require_in_order(ledger)


async def test_the_same_submission_again_reserves_nothing_more(ledger: Ledger) -> None:
    await lab(ledger, "10")
    for _ in range(3):
        await submit(ledger, IN_LAB, key="k", estimate_seconds=6.0)
    assert (await allowance(ledger, LAB)).reserved == 6


async def test_too_little_is_refused_with_the_numbers_and_nothing_is_kept(ledger: Ledger) -> None:
    await lab(ledger, "10")
    await store(ledger, [await finished(ledger, await at_the_qpu(ledger, 3.0), 4.0)])
    await submit(ledger, IN_LAB, estimate_seconds=1.5)
    with pytest.raises(QuotaExceeded) as refused:
        await submit(ledger, IN_LAB, key="too-much", estimate_seconds=5.25)
    assert str(refused.value) == (
        "Project 'lab' has 4.5 s left on all QPUs, and the job asks for 5.25 s: 10 s granted, "
        "4 s used, 1.5 s reserved by jobs that have not ended. Use fewer shots, wait for jobs to "
        "end, or ask for more: `qpuflow --project lab quota request 0.75 --reason WHY`."
    )
    assert await scalar(ledger, "SELECT count(*) FROM jobs WHERE key = 'too-much'") == 0
    await require_in_order(ledger)


async def test_what_is_left_to_the_microsecond_is_enough(ledger: Ledger) -> None:
    await lab(ledger, "0.3")
    for _ in range(3):
        await submit(ledger, IN_LAB, estimate_seconds=0.1)
    assert (await allowance(ledger, LAB)).available == 0
    with pytest.raises(QuotaExceeded, match=r"asks for 0\.000001 s"):
        await submit(ledger, IN_LAB, estimate_seconds=1e-6)


async def test_what_another_gives_back_while_we_wait_for_the_book_is_seen(ledger: Ledger) -> None:
    await lab(ledger, "10")
    first = await submit(ledger, IN_LAB, estimate_seconds=8.0)
    await open_lab(ledger, "bob")
    async with ledger.begin() as session:
        await jobs.request_cancel(session, IN_LAB, first.job_id)
        second = asyncio.create_task(submit(ledger, Principal("bob", "lab"), estimate_seconds=9.0))
        await eventually_waits(ledger)
    assert (await second).is_new
    assert (await allowance(ledger, LAB)).available == 1
    await require_in_order(ledger)


async def test_an_allowance_of_a_qpu_limits_that_one_alone(ledger: Ledger) -> None:
    await register(ledger, "other")
    await lab(ledger, "5", LAB_ON_RACK)
    await submit(ledger, IN_LAB, qpu="other", estimate_seconds=50.0)
    with pytest.raises(QuotaExceeded, match=r"5 s left on rack.*--qpu rack"):
        await submit(ledger, IN_LAB, estimate_seconds=6.0)


async def test_the_tightest_of_two_allowances_decides_and_the_other_reserves_nothing(
    ledger: Ledger,
) -> None:
    await lab(ledger, "100")
    await grant(ledger, LAB_ON_RACK, "5")
    with pytest.raises(QuotaExceeded, match="left on rack"):
        await submit(ledger, IN_LAB, estimate_seconds=6.0)
    assert (await allowance(ledger, LAB)).reserved == 0
    await submit(ledger, IN_LAB, estimate_seconds=4.0)
    assert (await allowance(ledger, LAB)).reserved == 4
    assert (await allowance(ledger, LAB_ON_RACK)).reserved == 4


async def test_a_result_settles_the_time_used_and_gives_the_rest_back(ledger: Ledger) -> None:
    await lab(ledger, "10")
    job = await at_the_qpu(ledger, 8.0)
    await store(ledger, [await finished(ledger, job, 0.25)])
    after = await allowance(ledger, LAB)
    assert (after.charged, after.reserved, after.available) == (Decimal("0.25"), 0, Decimal("9.75"))
    await require_in_order(ledger)


async def test_storing_again_settles_nothing_more(ledger: Ledger) -> None:
    await lab(ledger, "10")
    job = await at_the_qpu(ledger, 8.0)
    for seconds in (0.25, 99.0):
        await store(ledger, [await finished(ledger, job, seconds)])
    assert (await allowance(ledger, LAB)).charged == Decimal("0.25")
    await require_in_order(ledger)


async def test_a_job_that_took_longer_is_charged_and_the_next_one_refused(ledger: Ledger) -> None:
    await lab(ledger, "10")
    await store(ledger, [await finished(ledger, await at_the_qpu(ledger, 1.0), 12.5)])
    assert (await allowance(ledger, LAB)).balance == Decimal("-2.5")
    with pytest.raises(QuotaExceeded, match=r"has 0 s left.*12\.5 s used.*request 1 "):
        await submit(ledger, IN_LAB, estimate_seconds=1.0)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
async def test_a_job_without_a_result_costs_nothing(ledger: Ledger, state: JobState) -> None:
    await lab(ledger, "10")
    await end(ledger, await at_the_qpu(ledger, 8.0), state)
    after = await allowance(ledger, LAB)
    assert (after.charged, after.reserved) == (0, 0)


async def test_a_job_cancelled_in_the_queue_gives_its_reservation_back(ledger: Ledger) -> None:
    await lab(ledger, "10")
    accepted = await submit(ledger, IN_LAB, estimate_seconds=8.0)
    async with ledger.begin() as session:
        await jobs.request_cancel(session, IN_LAB, accepted.job_id)
    assert (await allowance(ledger, LAB)).available == 10


async def test_a_job_that_was_cut_off_is_uncharged_and_keeps_its_place_once(ledger: Ledger) -> None:
    await lab(ledger, "10")
    job = await at_the_qpu(ledger, 3.0)
    await end(ledger, job, JobState.QUEUED)
    after = await allowance(ledger, LAB)
    assert (after.charged, after.reserved) == (0, 3)
    await require_in_order(ledger)


async def test_a_retry_reserves_again_or_is_refused(ledger: Ledger) -> None:
    await lab(ledger, "10")
    job = await at_the_qpu(ledger, 8.0)
    await end(ledger, job, JobState.FAILED)
    async with ledger.begin() as session:
        await jobs.retry(session, IN_LAB, job.id)
    assert (await allowance(ledger, LAB)).reserved == 8
    await end(ledger, job, JobState.FAILED)
    await submit(ledger, IN_LAB, estimate_seconds=5.0)
    with pytest.raises(QuotaExceeded):
        async with ledger.begin() as session:
            await jobs.retry(session, IN_LAB, job.id)
    assert (await job_of(ledger, job.id)).state is JobState.FAILED
    await require_in_order(ledger)


async def test_a_better_estimate_changes_what_is_reserved(ledger: Ledger) -> None:
    await lab(ledger, "10")
    job = await taken(ledger, 5.0)
    for seconds in (0.5, 10.0, 2.0):
        assert await adjusted(ledger, job, seconds) == {}
        assert (await allowance(ledger, LAB)).reserved == Decimal(str(seconds))
        await require_in_order(ledger)


async def test_a_worse_estimate_that_does_not_fit_refuses_the_job_before_dispatch(
    ledger: Ledger,
) -> None:
    await lab(ledger, "10")
    job = await taken(ledger, 5.0)
    refused = await adjusted(ledger, job, 11.0)
    assert "asks for 11 s: 10 s granted, 0 s used, 0 s reserved" in str(refused[job.id])
    assert (await allowance(ledger, LAB)).reserved == 5
    await require_in_order(ledger)


async def test_a_job_from_before_the_first_grant_reserves_when_it_is_ready(ledger: Ledger) -> None:
    await open_lab(ledger, "alice")
    job = await taken(ledger, 5.0)
    await grant(ledger, LAB, "4")
    assert job.id in await adjusted(ledger, job, 5.0)
    assert await adjusted(ledger, job, 4.0) == {}
    assert (await allowance(ledger, LAB)).available == 0


async def test_a_job_that_was_accepted_runs_also_when_its_project_is_overdrawn(
    ledger: Ledger,
) -> None:
    await lab(ledger, "10")
    job = await taken(ledger, 5.0)
    await revoke(ledger, LAB, "10")
    assert await adjusted(ledger, job, 5.0) == {}
    assert job.id in await adjusted(ledger, job, 5.1)


async def test_what_was_used_before_the_first_grant_was_free(ledger: Ledger) -> None:
    await complete(ledger, ALICE)
    after = await grant(ledger, Scope("alice"), "1")
    assert (after.charged, after.available) == (0, 1)
    await require_in_order(ledger)


async def test_what_is_taken_back_is_in_the_book(ledger: Ledger) -> None:
    await lab(ledger, "10")
    assert (await revoke(ledger, LAB, "4")).granted == 6
    assert await scalar(ledger, "SELECT array_agg(amount ORDER BY id)::text FROM grants") == (
        "{10.000000,-4.000000}"
    )


async def test_nothing_is_taken_back_where_nothing_was_granted(ledger: Ledger) -> None:
    await lab(ledger, "10")
    for scope, words in ((LAB_ON_RACK, "on rack"), (Scope("lab", unit="usd"), "USD on all QPUs")):
        with pytest.raises(NotFound, match=words):
            await revoke(ledger, scope, "4")
    assert await scalar(ledger, "SELECT count(*) FROM allowances") == 1


async def test_a_new_project_is_given_what_operators_decided(ledger: Ledger) -> None:
    await submit(ledger, BOB)
    async with ledger.begin() as session:
        await quotas.set_first(session, OPERATOR, Decimal(7))
    await submit(ledger, ALICE, estimate_seconds=6.0)
    assert (await allowance(ledger, Scope("alice"))).available == 1
    async with ledger.begin() as session:
        assert await quotas.of_project(session, BOB, "bob") == []
        await quotas.set_first(session, OPERATOR, Decimal(0))
    with pytest.raises(QuotaExceeded, match="0 s granted"):
        await submit(ledger, Principal("carol", "carol"), estimate_seconds=0.1)
    async with ledger.begin() as session:
        await quotas.set_first(session, OPERATOR, None)
    assert (await submit(ledger, Principal("dave", "dave"), estimate_seconds=1e6)).is_new


async def test_a_request_is_approved_and_the_applicant_sees_by_whom(ledger: Ledger) -> None:
    await lab(ledger, "1")
    async with ledger.begin() as session:
        asked = await quotas.request(session, IN_LAB, None, Decimal(20), "a paper")
        seen = await quotas.requests(session, OPERATOR, state=RequestState.PENDING)
    assert seen == [asked]
    async with ledger.begin() as session:
        await quotas.approve(session, OPERATOR, asked.id, Decimal(15), "for now")
    async with ledger.begin() as session:
        (answered,) = await quotas.requests(session, IN_LAB)
    assert (answered.state, answered.granted) == (RequestState.APPROVED, 15)
    assert (answered.decided_by, answered.answer) == ("olga", "for now")
    assert answered.decided_at is not None
    assert (await allowance(ledger, LAB)).granted == 16
    await require_in_order(ledger)


async def test_a_request_is_rejected_with_the_reason(ledger: Ledger) -> None:
    await lab(ledger, "1")
    async with ledger.begin() as session:
        asked = await quotas.request(session, IN_LAB, "rack", Decimal(20), "a paper")
        with pytest.raises(InputError, match="needs a reason"):
            await quotas.reject(session, OPERATOR, asked.id, " ")
        await quotas.reject(session, OPERATOR, asked.id, "book a slot instead")
        (answered,) = await quotas.requests(session, IN_LAB)
    assert (answered.state, answered.answer) == (RequestState.REJECTED, "book a slot instead")
    assert answered.granted is None
    assert (await allowance(ledger, LAB)).granted == 1


async def test_two_operators_who_answer_at_once_grant_once(ledger: Ledger) -> None:
    await lab(ledger, "1")
    async with ledger.begin() as session:
        asked = await quotas.request(session, IN_LAB, None, Decimal(20), "a paper")

    async def approve() -> None:
        async with ledger.begin() as session:
            await quotas.approve(session, OPERATOR, asked.id)

    answers = await asyncio.gather(*(approve() for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(answer, Conflict) for answer in answers) == 5
    assert (await allowance(ledger, LAB)).granted == 21


async def test_members_see_and_ask_and_change_nothing(ledger: Ledger) -> None:
    await lab(ledger, "1")
    async with ledger.begin() as session:
        assert len(await quotas.of_project(session, IN_LAB, "lab")) == 1
        asked = await quotas.request(session, IN_LAB, None, Decimal(20), "a paper")
        for change in (
            quotas.grant(session, IN_LAB, LAB, Decimal(5)),
            quotas.revoke(session, IN_LAB, LAB, Decimal(5)),
            quotas.approve(session, IN_LAB, asked.id),
            quotas.reject(session, IN_LAB, asked.id, "no"),
            quotas.set_first(session, IN_LAB, None),
            quotas.of_all(session, IN_LAB),
        ):
            with pytest.raises(AccessDenied, match="may not"):
                await change
    assert (await allowance(ledger, LAB)).granted == 1


async def test_others_see_nothing_of_a_project(ledger: Ledger) -> None:
    await lab(ledger, "1")
    async with ledger.begin() as session:
        asked = await quotas.request(session, IN_LAB, None, Decimal(20), "a paper")
        with pytest.raises(AccessDenied):
            await quotas.of_project(session, BOB, "lab")
        assert await quotas.requests(session, BOB) == []
        with pytest.raises(NotFound):
            await quotas.resolve(session, BOB, str(asked.id))
        assert await quotas.resolve(session, IN_LAB, str(asked.id)[:8]) == asked.id
        with pytest.raises(AccessDenied):
            await quotas.request(session, Principal("bob", "lab"), None, Decimal(20), "mine")
