"""Carriers that sleep while the QPU has their jobs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import text

from qpuflow.domain.policy import PolicyRules
from qpuflow.ledger import asleep, carriers, claims, forsaken, jobs, leases
from qpuflow.ledger.asleep import Sleeper
from qpuflow.ledger.database import Ledger
from tests.ledger.entities import ALICE, QPU, hand_over, submit, take

EARLIER = datetime(2026, 1, 1, tzinfo=UTC)


async def sleeper_of(ledger: Ledger) -> Sleeper:
    async with ledger.begin() as session:
        (found,) = await asleep.sleepers(session, QPU)
    return found


async def test_a_sleeper_is_missed_by_nobody_and_started_by_nobody_until_it_is_woken(
    ledger: Ledger,
) -> None:
    accepted, run = await submit(ledger), uuid4()
    async with ledger.begin() as session:
        carrier_id = await carriers.begin(session, accepted.batch_id, run, "here:1")
        assert await leases.acquire(session, QPU, carrier_id, 60)
    await hand_over(ledger, await take(ledger, accepted.batch_id))
    async with ledger.begin() as session:
        await asleep.fall_asleep(session, carrier_id)
    async with ledger.begin() as session:
        assert await leases.held(session, QPU) == []
        assert await forsaken.silent(session, 0) == set()
        assert list(await claims.next_carriers(session, QPU, PolicyRules())) == []
    sleeper = await sleeper_of(ledger)
    assert sleeper == Sleeper(
        carrier_id,
        accepted.batch_id,
        run,
        sleeper.asleep_at,
        is_wanted=False,
        is_unapproved=False,
    )
    async with ledger.begin() as session:
        await asleep.wake(session, replace(sleeper, asleep_at=EARLIER), QPU)
        assert await asleep.sleepers(session, QPU) == [sleeper], "it has fallen asleep anew since"
        await asleep.wake(session, sleeper, QPU)
    async with ledger.begin() as session:
        assert await asleep.sleepers(session, QPU) == []
        (next_one,) = await claims.next_carriers(session, QPU, PolicyRules())
        assert next_one.carriage.id == carrier_id
        assert await carriers.begin(session, accepted.batch_id, run, "there:2") == carrier_id


async def test_it_is_wanted_for_a_cancellation_and_for_a_job_that_is_to_be_begun(
    ledger: Ledger,
) -> None:
    accepted = await submit(ledger)
    async with ledger.begin() as session:
        carrier_id = await carriers.begin(session, accepted.batch_id, uuid4(), "here:1")
        await asleep.fall_asleep(session, carrier_id)
    assert (await sleeper_of(ledger)).is_wanted, "its job is queued"
    await hand_over(ledger, await take(ledger, accepted.batch_id))
    assert not (await sleeper_of(ledger)).is_wanted
    async with ledger.begin() as session:
        await jobs.request_cancel(session, ALICE, accepted.job_id)
    assert (await sleeper_of(ledger)).is_wanted
    async with ledger.begin() as session:
        await session.execute(text("UPDATE carriers SET asleep_at = now() + interval '30 s'"))
    assert (await sleeper_of(ledger)).is_wanted, "maybe it did not look again before it slept"
    async with ledger.begin() as session:
        await session.execute(text("UPDATE carriers SET asleep_at = now() + interval '2 min'"))
    assert not (await sleeper_of(ledger)).is_wanted, "it has passed that on before it slept"
    async with ledger.begin() as session:
        await session.execute(text("UPDATE carriers SET asleep_at = now()"))
        await session.execute(text("UPDATE jobs SET cancel_requested_at = now() - interval '1 h'"))
        await jobs.request_cancel(session, ALICE, accepted.job_id)
    assert (await sleeper_of(ledger)).is_wanted, "who asks again is heard again"
