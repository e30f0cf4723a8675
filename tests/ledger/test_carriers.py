"""Carriers: created once, replaced when lost, and powerless from then on."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from qpuflow.domain.job import JobState
from qpuflow.domain.policy import PolicyRules
from qpuflow.ledger import (
    arbiter,
    batches,
    carriers,
    claims,
    events,
    forsaken,
    jobs,
    leases,
    live,
    results,
)
from qpuflow.ledger.arbiter import Question
from qpuflow.ledger.carriers import Carriage
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.live import CarrierLost
from tests.ledger.entities import (
    ALICE,
    BOB,
    CARRIER,
    QPU,
    begin,
    finished,
    hand_over,
    job_of,
    rows,
    scalar,
    submit,
    take,
)

CURRENT = "SELECT number, state, flow_run_id FROM carriers ORDER BY number DESC LIMIT 1"


async def outbox(ledger: Ledger) -> list[Carriage]:
    async with ledger.begin() as session:
        return await carriers.outbox(session)


async def lose(ledger: Ledger, carrier_id: UUID, limit: int = 5) -> None:
    async with ledger.begin() as session:
        live = await carriers.live(session) + await carriers.outbox(session)
        (carriage,) = [one for one in live if one.id == carrier_id]
        await carriers.lose(session, CARRIER, carriage, "it was killed", limit)


async def test_a_new_batch_waits_in_the_outbox_until_its_run_exists(ledger: Ledger) -> None:
    accepted, run = await submit(ledger), uuid4()
    (carriage,) = await outbox(ledger)
    assert (carriage.batch_id, carriage.qpu, carriage.user) == (accepted.batch_id, QPU, "alice")
    async with ledger.begin() as session:
        await carriers.created(session, carriage.id, run)
    assert await outbox(ledger) == []
    assert await rows(ledger, CURRENT) == [(1, "live", run)]


async def test_the_oldest_in_the_outbox_come_first(ledger: Ledger) -> None:
    waiting = [(await submit(ledger, BOB)).batch_id, (await submit(ledger)).batch_id]
    assert [one.batch_id for one in await outbox(ledger)] == waiting
    async with ledger.begin() as session:
        (oldest,) = await carriers.outbox(session, QPU, limit=1)
        await carriers.created(session, oldest.id, uuid4())
    assert oldest.batch_id == waiting[0]
    async with ledger.begin() as session:
        (next_one,) = await carriers.outbox(session, limit=1)
    assert next_one.batch_id == waiting[1]


async def test_a_run_may_begin_before_its_creator_has_noted_it(ledger: Ledger) -> None:
    accepted, run = await submit(ledger), uuid4()
    (carriage,) = await outbox(ledger)
    assert await begin(ledger, accepted.batch_id, run) == carriage.id
    async with ledger.begin() as session:
        await carriers.created(session, carriage.id, run)
    assert await rows(ledger, CURRENT) == [(1, "live", run)]


async def test_one_of_many_runs_that_begin_at_once_carries(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    begun = await asyncio.gather(
        *(begin(ledger, accepted.batch_id) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(one, UUID) for one in begun) == 1
    assert sum(isinstance(one, CarrierLost) for one in begun) == 9


async def test_a_run_that_starts_again_shuts_its_former_process_out(ledger: Ledger) -> None:
    accepted, run = await submit(ledger), uuid4()
    former = await begin(ledger, accepted.batch_id, run)
    await take(ledger, accepted.batch_id)
    again = await begin(ledger, accepted.batch_id, run)
    assert again != former
    for act in (carriers.beat, live.require_live):
        with pytest.raises(CarrierLost):
            async with ledger.begin() as session:
                await act(session, former)
    assert (await job_of(ledger, accepted.job_id)).state is JobState.QUEUED
    async with ledger.begin() as session:
        await carriers.beat(session, again)


async def test_a_run_that_was_replaced_takes_no_job_and_asks_for_no_lane(ledger: Ledger) -> None:
    accepted, run = await submit(ledger), uuid4()
    former = await begin(ledger, accepted.batch_id, run)
    await begin(ledger, accepted.batch_id, run)
    with pytest.raises(CarrierLost):
        async with ledger.look() as session:
            await batches.take(session, CARRIER, accepted.batch_id, 5, former)
    assert (await job_of(ledger, accepted.job_id)).state is JobState.QUEUED
    await take(ledger, accepted.batch_id)
    question = Question(QPU, former, accepted.batch_id, 60, {accepted.job_id: 1.0})
    with pytest.raises(CarrierLost):
        async with ledger.look() as session:
            await arbiter.get_ready(session, question, PolicyRules())
    asking = "SELECT count(*) FROM jobs WHERE asks_since IS NOT NULL"
    assert await scalar(ledger, asking) == 0


async def test_a_silent_carrier_is_noticed_and_one_that_beats_is_not(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    carrier_id = await begin(ledger, accepted.batch_id)
    await rows(ledger, "UPDATE carriers SET heartbeat_at = now() - interval '1 min' RETURNING 1")
    async with ledger.begin() as session:
        assert await forsaken.silent(session, 30) == {carrier_id}
        await carriers.beat(session, carrier_id)
    async with ledger.begin() as session:
        assert await forsaken.silent(session, 30) == set()


async def test_a_run_that_has_not_begun_is_not_silent(ledger: Ledger) -> None:
    await submit(ledger)
    (carriage,) = await outbox(ledger)
    async with ledger.begin() as session:
        await carriers.created(session, carriage.id, uuid4())
    async with ledger.begin() as session:
        assert await forsaken.silent(session, 0) == set()


async def test_a_replaced_carrier_stores_no_result(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    carrier_id = await begin(ledger, accepted.batch_id)
    (job,) = await take(ledger, accepted.batch_id)
    await hand_over(ledger, [job])
    await lose(ledger, carrier_id)
    done = await finished(ledger, job)

    async def store() -> None:
        async with ledger.begin() as session:
            await results.store(ledger, session, CARRIER, [done], carrier_id)

    with pytest.raises(CarrierLost):
        await store()
    assert await scalar(ledger, "SELECT count(*) FROM results") == 0
    assert await scalar(ledger, "SELECT count(*) FROM charges") == 0


async def test_replacing_a_carrier_waits_for_what_it_is_writing(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    carrier_id = await begin(ledger, accepted.batch_id)
    async with ledger.begin() as session:
        await live.require_live(session, carrier_id)
        losing = asyncio.create_task(lose(ledger, carrier_id))
        done, _ = await asyncio.wait([losing], timeout=0.2)
        assert not done
    await losing


async def test_losing_a_carrier_takes_back_only_what_was_never_handed_over(ledger: Ledger) -> None:
    accepted = [await submit(ledger) for _ in range(4)]
    batch_id = accepted[0].batch_id
    carrier_id = await begin(ledger, batch_id)
    (waiting,) = await take(ledger, batch_id, 1)
    await hand_over(ledger, [waiting])
    (running,) = await take(ledger, batch_id, 1)
    await rows(
        ledger, "UPDATE jobs SET state = 'running' WHERE id = :id RETURNING 1", id=running.id
    )
    (preparing,) = await take(ledger, batch_id, 1)
    await lose(ledger, carrier_id)
    states = [(await job_of(ledger, one.job_id)).state.value for one in accepted]
    assert states == ["waiting", "running", "queued", "queued"]
    async with ledger.begin() as session:
        asked_for = [job.id for job in await batches.handed_over(session, batch_id)]
    assert asked_for == [waiting.id, running.id]
    assert preparing.id not in asked_for
    assert await rows(ledger, CURRENT) == [(2, "pending", None)]


async def test_two_who_lose_the_same_carrier_make_one_replacement(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    carrier_id = await begin(ledger, accepted.batch_id)
    async with ledger.begin() as session:
        (carriage,) = await carriers.live(session)

    async def give_up() -> None:
        async with ledger.begin() as session:
            await carriers.lose(session, CARRIER, carriage, "it was killed", 5)

    await asyncio.gather(*(give_up() for _ in range(6)))
    assert carriage.id == carrier_id
    assert await rows(ledger, CURRENT) == [(2, "pending", None)]


async def test_a_lost_carrier_gives_its_lane_back(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    carrier_id = await begin(ledger, accepted.batch_id)
    async with ledger.begin() as session:
        assert await leases.acquire(session, QPU, carrier_id, 60)
    await lose(ledger, carrier_id)
    assert await scalar(ledger, "SELECT count(*) FROM leases WHERE released_at IS NULL") == 0


async def test_after_too_many_carriers_the_jobs_fail_with_the_reason(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    for number in (1, 2, 3):
        assert (await job_of(ledger, accepted.job_id)).state is JobState.QUEUED
        carrier_id = await begin(ledger, accepted.batch_id)
        await take(ledger, accepted.batch_id)
        await lose(ledger, carrier_id, limit=3)
        assert await scalar(ledger, "SELECT max(number) FROM carriers") == min(number + 1, 3)
    job = await job_of(ledger, accepted.job_id)
    assert job.state is JobState.FAILED
    assert job.reason == "Given up after 3 carriers; the last one: it was killed"


async def test_a_job_that_a_qpu_out_there_has_is_not_given_up_and_asked_for_ever_more_seldom(
    ledger: Ledger,
) -> None:
    accepted = await submit(ledger)
    carrier_id = await begin(ledger, accepted.batch_id)
    await hand_over(ledger, await take(ledger, accepted.batch_id))
    for _ in range(2):
        await lose(ledger, carrier_id, limit=3)
        carrier_id = await begin(ledger, accepted.batch_id)
    await lose(ledger, carrier_id, limit=3)
    assert (await job_of(ledger, accepted.job_id)).state is JobState.WAITING
    assert not await is_orphan(ledger)
    await rows(ledger, "UPDATE carriers SET created_at = now() - interval '130 s' RETURNING 1")
    assert await is_orphan(ledger)
    await rows(ledger, "UPDATE carriers SET created_at = now() RETURNING 1")
    async with ledger.begin() as session:
        await jobs.request_cancel(session, ALICE, accepted.job_id)
    assert await is_orphan(ledger), "its QPU is not told that it was cancelled"


async def is_orphan(ledger: Ledger) -> bool:
    async with ledger.begin() as session:
        return bool(await forsaken.orphaned(session, 3))


async def test_a_job_that_a_simulator_of_ours_has_is_given_up_with_its_carriers(
    ledger: Ledger,
) -> None:
    accepted = await submit(ledger)
    carrier_id = await begin(ledger, accepted.batch_id)
    await hand_over(ledger, await take(ledger, accepted.batch_id))
    await rows(
        ledger, """UPDATE qpus SET device = device || '{"outside_effects": false}' RETURNING 1"""
    )
    await lose(ledger, carrier_id, limit=1)
    assert (await job_of(ledger, accepted.job_id)).state is JobState.FAILED


async def test_what_waits_behind_a_job_that_kills_its_carriers_does_not_fail_with_it(
    ledger: Ledger,
) -> None:
    poison, innocent = [await submit(ledger) for _ in range(2)]
    for _ in range(3):
        carrier_id = await begin(ledger, poison.batch_id)
        await take(ledger, poison.batch_id, 1)
        await lose(ledger, carrier_id, limit=3)
    assert (await job_of(ledger, poison.job_id)).state is JobState.FAILED
    assert (await job_of(ledger, innocent.job_id)).state is JobState.QUEUED
    lost = "SELECT carriers_lost FROM jobs WHERE id = :id"
    assert await scalar(ledger, lost, id=innocent.job_id) == 0


async def test_a_worker_that_stops_costs_no_job_a_carrier(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    for _ in range(3):
        carrier_id = await begin(ledger, accepted.batch_id)
        await take(ledger, accepted.batch_id)
        async with ledger.begin() as session:
            carriage = await carriers.find(session, carrier_id)
            assert await carriers.lose(session, CARRIER, carriage, "it stopped", None) == set()
    assert await scalar(ledger, "SELECT carriers_lost FROM jobs") == 0
    assert await rows(ledger, CURRENT) == [(4, "pending", None)]


async def test_a_carrier_at_rest_is_missed_by_nobody_and_goes_on_as_the_same(
    ledger: Ledger,
) -> None:
    accepted = await submit(ledger)
    run = uuid4()
    async with ledger.begin() as session:
        carrier_id = await carriers.begin(session, accepted.batch_id, run, "here:1")
        assert await leases.acquire(session, QPU, carrier_id, 60)
    async with ledger.begin() as session:
        await carriers.rest(session, CARRIER, await carriers.find(session, carrier_id))
    async with ledger.begin() as session:
        assert await forsaken.silent(session, 0) == set()
        assert await leases.held(session, QPU) == []
        assert list(await claims.next_carriers(session, QPU, PolicyRules())) == [], (
            "it is suspended"
        )
    assert (await submit(ledger)).batch_id != accepted.batch_id, "others do not rest with it"
    async with ledger.begin() as session:
        assert await carriers.wake(session, run)
        assert await carriers.begin(session, accepted.batch_id, run, "there:2") == carrier_id


@pytest.mark.parametrize("limit", [1, 5])
async def test_a_batch_left_without_a_carrier_accepts_no_job(ledger: Ledger, limit: int) -> None:
    """Given up at the limit, or lost with nothing left to do."""
    accepted = await submit(ledger)
    carrier_id = await begin(ledger, accepted.batch_id)
    if limit > 1:
        await rows(ledger, "UPDATE jobs SET state = 'failed', finished_at = now() RETURNING 1")
    await lose(ledger, carrier_id, limit)
    assert (await submit(ledger)).batch_id != accepted.batch_id
    assert len(await outbox(ledger)) == 1


async def test_a_batch_with_unfinished_jobs_and_no_carrier_is_an_orphan(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    carrier_id = await begin(ledger, accepted.batch_id)
    (job,) = await take(ledger, accepted.batch_id)
    await hand_over(ledger, [job])
    async with ledger.begin() as session:
        assert await forsaken.orphaned(session, 5) == []
        await carriers.finish(session, carrier_id)
    async with ledger.begin() as session:
        assert await forsaken.orphaned(session, 5) == [accepted.batch_id]
    for _ in range(2):  # two reapers
        async with ledger.begin() as session:
            await carriers.replace(session, accepted.batch_id)
    async with ledger.begin() as session:
        assert await forsaken.orphaned(session, 5) == []
    assert await rows(ledger, CURRENT) == [(2, "pending", None)]


async def test_concurrent_replacements_make_one_carrier(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    await rows(ledger, "UPDATE carriers SET state = 'done' RETURNING 1")

    async def replace() -> None:
        async with ledger.begin() as session:
            await carriers.replace(session, accepted.batch_id)

    await asyncio.gather(*(replace() for _ in range(8)))
    assert await scalar(ledger, "SELECT count(*) FROM carriers") == 2


async def test_a_carrier_that_was_done_cannot_be_lost(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    carrier_id = await begin(ledger, accepted.batch_id)
    async with ledger.begin() as session:
        (carriage,) = await carriers.live(session)
    await take(ledger, accepted.batch_id)
    async with ledger.begin() as session:
        await carriers.finish(session, carrier_id)
    async with ledger.begin() as session:
        await carriers.lose(session, CARRIER, carriage, "late", 5)
    assert await rows(ledger, "SELECT number, state FROM carriers") == [(1, "done")]


async def test_a_qpu_is_asked_about_an_ambiguous_job_ever_more_seldom(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    carrier_id = await begin(ledger, accepted.batch_id)
    (job,) = await take(ledger, accepted.batch_id)
    async with ledger.begin() as session:
        await events.require_move(session, CARRIER, [job.id], JobState.RUNNING)
        await events.require_move(session, CARRIER, [job.id], JobState.AMBIGUOUS)
        await carriers.finish(session, carrier_id)

    async def is_orphan_after(seconds: int, number: int) -> bool:
        aged = f"now() - make_interval(secs => {seconds})"
        await rows(
            ledger, f"UPDATE carriers SET created_at = {aged}, number = {number} RETURNING 1"
        )
        async with ledger.begin() as session:
            return await forsaken.orphaned(session, 5) == [accepted.batch_id]

    assert not await is_orphan_after(25, number=1)
    assert await is_orphan_after(35, number=1)
    assert not await is_orphan_after(35, number=2)
    assert await is_orphan_after(65, number=2)
    assert not await is_orphan_after(3500, number=90)
    assert await is_orphan_after(3700, number=90)


async def test_a_job_about_which_an_operator_is_asked_needs_no_carrier(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    carrier_id = await begin(ledger, accepted.batch_id)
    (job,) = await take(ledger, accepted.batch_id)
    async with ledger.begin() as session:
        await events.require_move(session, CARRIER, [job.id], JobState.UNAPPROVED)
        await carriers.finish(session, carrier_id)
    async with ledger.begin() as session:
        assert await forsaken.orphaned(session, 5) == []
