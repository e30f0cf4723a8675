"""Batches: jobs that share a carrier, and closing one while jobs still come."""

from __future__ import annotations

import asyncio
import random
from uuid import UUID, uuid4

import pytest

from qpuflow.domain.job import Job, JobState
from qpuflow.domain.principal import Principal, service
from qpuflow.ledger import accounts, batches, carriers
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.live import CarrierLost
from qpuflow.ledger.signals import Channel, tell
from tests.ledger.entities import (
    ALICE,
    BOB,
    begin,
    finished,
    hand_over,
    job_of,
    rows,
    scalar,
    store,
    submit,
    take,
)

UNCARRIED = """
SELECT count(*) FROM jobs j WHERE j.finished_at IS NULL AND 1 <> (
    SELECT count(*) FROM carriers c
    WHERE c.batch_id = j.batch_id AND c.state IN ('pending', 'live'))
"""


async def test_jobs_of_one_user_share_a_batch_and_its_one_carrier(ledger: Ledger) -> None:
    accepted = await asyncio.gather(*(submit(ledger) for _ in range(30)))
    assert len({one.batch_id for one in accepted}) == 1
    assert await rows(ledger, "SELECT job_count, state FROM batches") == [(30, "open")]
    assert await rows(ledger, "SELECT number, state FROM carriers") == [(1, "pending")]


async def test_users_and_projects_never_share_a_batch(ledger: Ledger) -> None:
    await submit(ledger, Principal("alice", "alice"))
    async with ledger.begin() as session:
        await accounts.add_member(session, service("test"), "lab", "alice")
    others = [await submit(ledger, Principal("alice", "lab")), await submit(ledger, BOB)]
    assert len({one.batch_id for one in others}) == 2
    assert await scalar(ledger, "SELECT count(*) FROM batches") == 3


async def test_a_job_started_in_prefect_travels_alone_in_its_run(ledger: Ledger) -> None:
    run = uuid4()
    shared, single = await submit(ledger), await submit(ledger, run=run)
    assert single.batch_id != shared.batch_id
    assert (await submit(ledger)).batch_id == shared.batch_id
    query = "SELECT state, flow_run_id FROM carriers WHERE batch_id = :batch"
    assert await rows(ledger, query, batch=single.batch_id) == [("live", run)]


async def test_a_running_batch_accepts_more_and_a_closed_one_none(ledger: Ledger) -> None:
    first = await submit(ledger)
    await begin(ledger, first.batch_id)
    assert (await submit(ledger)).batch_id == first.batch_id
    await take(ledger, first.batch_id)
    async with ledger.begin() as session:
        assert await batches.close_if_empty(session, first.batch_id)
    assert (await submit(ledger)).batch_id != first.batch_id


async def test_a_batch_with_a_queued_job_does_not_close(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    async with ledger.begin() as session:
        assert not await batches.close_if_empty(session, accepted.batch_id)


async def test_a_user_who_leaves_closes_the_batch_unless_a_job_is_queued(ledger: Ledger) -> None:
    batch_id = (await submit(ledger)).batch_id

    async def left() -> bool:
        async with ledger.begin() as session:
            await batches.leave(session, batch_id)
            return await batches.is_closed(session, batch_id)

    assert not await left()
    await begin(ledger, batch_id)
    await take(ledger, batch_id)
    with ledger.ears.listen(Channel.JOINED, str(batch_id)) as told:
        await asyncio.wait_for(told.wait(), 10)  # it listens from now on
        told.clear()
        assert await left()
        await asyncio.wait_for(told.wait(), 10)


async def test_only_who_carries_a_batch_is_told_of_another_job(ledger: Ledger) -> None:
    batch_id, listen = (await submit(ledger)).batch_id, ledger.ears.listen
    with (
        listen(Channel.JOINED, str(batch_id)) as told,
        listen(Channel.JOINED, "something later") as told_later,
    ):
        await asyncio.wait_for(told.wait(), 10)  # it listens from now on
        told.clear()
        told_later.clear()
        await submit(ledger)
        async with ledger.begin() as session:
            await tell(session, Channel.JOINED, "something later")
        await asyncio.wait_for(told_later.wait(), 10)
        assert not told.is_set()
        await begin(ledger, batch_id)
        await submit(ledger)
        await asyncio.wait_for(told.wait(), 10)


async def test_a_full_batch_is_followed_by_another(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MAX_JOBS", 4)
    accepted = await asyncio.gather(*(submit(ledger) for _ in range(14)))
    sizes = [
        sum(one.batch_id == batch for one in accepted) for batch in {o.batch_id for o in accepted}
    ]
    assert sorted(sizes) == [2, 4, 4, 4]
    assert await scalar(ledger, "SELECT count(*) FROM batches WHERE state <> 'closed'") == 1
    assert await scalar(ledger, UNCARRIED) == 0


async def test_jobs_are_taken_oldest_first_and_once(ledger: Ledger) -> None:
    accepted = [await submit(ledger) for _ in range(6)]
    await begin(ledger, accepted[0].batch_id)
    taken = await asyncio.gather(*(take(ledger, accepted[0].batch_id, 2) for _ in range(4)))
    ids = [job.id for chunk in taken for job in chunk]
    assert sorted(ids) == sorted(one.job_id for one in accepted)
    for chunk in taken:
        assert [j.id for j in chunk] == [a.job_id for a in accepted if a.job_id in ids_of(chunk)]
        assert all(job.state is JobState.PREPARING for job in chunk)


def ids_of(chunk: list[Job]) -> set[UUID]:
    return {job.id for job in chunk}


async def submit_many(ledger: Ledger) -> None:
    for _ in range(12):
        await submit(ledger)
        await asyncio.sleep(random.uniform(0, 0.1))


async def every_batch_closed(ledger: Ledger) -> None:
    query = "SELECT count(*) FROM batches WHERE state <> 'closed'"
    while await scalar(ledger, query):  # noqa: ASYNC110  the database has no event for it
        await asyncio.sleep(0.02)


async def test_no_job_is_left_behind_by_a_batch_that_closes_while_it_joins(
    ledger: Ledger,
) -> None:
    """Submitters and carriers, as fast as they can. Whatever they do, every job is carried."""
    submitting = asyncio.Event()

    async def carry(batch_id: UUID) -> None:
        carrier_id = await begin(ledger, batch_id)
        while True:
            taken = await take(ledger, batch_id)
            await hand_over(ledger, taken)
            await store(ledger, [await finished(ledger, job) for job in taken])
            async with ledger.begin() as session:
                if await batches.close_if_empty(session, batch_id):
                    break
        async with ledger.begin() as session:
            await carriers.finish(session, carrier_id)

    async def dispatch() -> None:
        while True:
            ended = submitting.is_set()
            async with ledger.begin() as session:
                waiting = await carriers.outbox(session)
            for one in waiting:
                await carry(one.batch_id)
            assert await scalar(ledger, UNCARRIED) == 0
            if ended and not waiting:
                return

    dispatcher = asyncio.create_task(dispatch())
    for _ in range(2):
        await asyncio.gather(*(submit_many(ledger) for _ in range(5)))
        await asyncio.wait_for(every_batch_closed(ledger), 60)
    submitting.set()
    await asyncio.wait_for(dispatcher, 60)
    assert await rows(ledger, "SELECT state, count(*) FROM jobs GROUP BY 1") == [("completed", 120)]
    assert await scalar(ledger, "SELECT count(*) FROM batches") > 1


async def test_a_joiner_waits_for_the_one_who_closes_and_opens_another_batch(
    ledger: Ledger,
) -> None:
    first = await submit(ledger)
    await begin(ledger, first.batch_id)
    await take(ledger, first.batch_id)
    async with ledger.begin() as session:
        assert await batches.close_if_empty(session, first.batch_id)
        joining = asyncio.create_task(submit(ledger))
        done, _ = await asyncio.wait([joining], timeout=0.2)
        assert not done
    assert (await joining).batch_id != first.batch_id


async def test_the_one_who_closes_waits_for_a_joiner_and_stays_open(ledger: Ledger) -> None:
    first = await submit(ledger)
    await take(ledger, first.batch_id)

    async def close() -> bool:
        async with ledger.begin() as session:
            return await batches.close_if_empty(session, first.batch_id)

    async with ledger.begin() as session:
        assert await batches.join(session, batches.CarriedBy("rack", "alice", "alice"))
        closing = asyncio.create_task(close())
        done, _ = await asyncio.wait([closing], timeout=0.2)
        assert not done
    assert await closing, "the joiner wrote no job, so there is none"


async def test_a_job_queued_again_after_the_batch_closed_gets_another_carrier(
    ledger: Ledger,
) -> None:
    from qpuflow.ledger import jobs

    accepted = await submit(ledger, ALICE)
    carrier_id = await begin(ledger, accepted.batch_id)
    await take(ledger, accepted.batch_id)
    async with ledger.begin() as session:
        from qpuflow.ledger import events

        await events.move(session, ALICE, [accepted.job_id], JobState.FAILED, reason="broken")
        assert await batches.close_if_empty(session, accepted.batch_id)
    async with ledger.begin() as session:
        await jobs.retry(session, ALICE, accepted.job_id)
    async with ledger.begin() as session:
        await carriers.finish(session, carrier_id)
    assert await scalar(ledger, UNCARRIED) == 0


async def test_a_job_that_its_qpu_may_have_is_not_retried(ledger: Ledger) -> None:
    from qpuflow.domain.job import IllegalTransition
    from qpuflow.ledger import jobs

    accepted = await submit(ledger, ALICE)
    await begin(ledger, accepted.batch_id)
    await hand_over(ledger, await take(ledger, accepted.batch_id))
    with pytest.raises(IllegalTransition, match="has not failed"):
        async with ledger.begin() as session:
            await jobs.retry(session, ALICE, accepted.job_id)
    assert (await job_of(ledger, accepted.job_id)).attempt == 1


async def test_a_run_that_never_was_the_carrier_cannot_begin(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    await begin(ledger, accepted.batch_id, uuid4())
    with pytest.raises(CarrierLost):
        await begin(ledger, accepted.batch_id, uuid4())
