"""Many writers at once on one account book: nothing is reserved twice, and every digit is there."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from qpuflow.domain.errors import Unavailable
from qpuflow.domain.job import Job, JobState
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import QuotaExceeded, Scope
from qpuflow.ledger import events, reservations, statements
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
    CARRIER,
    begin,
    finished,
    hand_over,
    register,
    rows,
    scalar,
    store,
    submit,
    take,
)

MEMBERS = [Principal(f"user-{number}", "lab") for number in range(8)]
OVERDRAWN = "SELECT count(*) FROM allowances WHERE granted - charged - reserved < 0"


async def accepted(ledger: Ledger, user: Principal, seconds: float, qpu: str = "rack") -> bool:
    try:
        return (await submit(ledger, user, qpu=qpu, estimate_seconds=seconds)).is_new
    except QuotaExceeded:
        return False


async def everything_handed_over(ledger: Ledger) -> list[Job]:
    handed: list[Job] = []
    for batch_id, run in await rows(
        ledger, "SELECT batch_id, flow_run_id FROM carriers WHERE state IN ('pending', 'live')"
    ):
        await begin(ledger, batch_id, run)
        jobs = await take(ledger, batch_id, limit=500)
        await hand_over(ledger, jobs)
        handed += jobs
    return handed


async def test_just_as_many_jobs_are_accepted_as_there_is_time_for(ledger: Ledger) -> None:
    await open_lab(ledger, *(one.user for one in MEMBERS))
    await grant(ledger, LAB, "2.5")
    answers = await asyncio.gather(
        *(accepted(ledger, user, 0.1) for user in MEMBERS for _ in range(10))
    )
    assert answers.count(True) == 25
    assert (await allowance(ledger, LAB)).available == 0
    await require_in_order(ledger)


async def test_two_allowances_in_both_orders_do_not_deadlock(ledger: Ledger) -> None:
    """Jobs of two QPUs share the project's allowance and have one each."""
    await register(ledger, "other")
    await open_lab(ledger, *(one.user for one in MEMBERS))
    for scope, amount in ((Scope("lab", "other"), "2"), (LAB, "3"), (LAB_ON_RACK, "2")):
        await grant(ledger, scope, amount)
    answers = await asyncio.gather(
        *(
            accepted(ledger, user, 0.1, qpu)
            for user in MEMBERS
            for _ in range(5)
            for qpu in ("rack", "other")
        )
    )
    assert answers.count(True) == 30
    assert (await allowance(ledger, LAB)).available == 0
    await require_in_order(ledger)


async def test_an_allowance_that_is_opened_meanwhile_misses_no_charge(ledger: Ledger) -> None:
    await open_lab(ledger, *(one.user for one in MEMBERS))
    for user in MEMBERS:
        await submit(ledger, user, estimate_seconds=0.1)
    handed = await everything_handed_over(ledger)
    done = [await finished(ledger, job, 0.1) for job in handed]

    async def open_late() -> None:
        await asyncio.sleep(0.02)
        await grant(ledger, LAB, "1")

    await asyncio.gather(*(store(ledger, [one]) for one in done), open_late())
    found = await scalar(ledger, "SELECT charged + charged_before FROM allowances")
    assert found == Decimal("0.8")
    await require_in_order(ledger)


async def test_everybody_at_once_and_the_statement_adds_up(ledger: Ledger) -> None:
    """Submissions, better estimates, results, cancellations, failures, grants; two QPUs."""
    await register(ledger, "other")
    await open_lab(ledger, *(one.user for one in MEMBERS))
    await grant(ledger, LAB, "30")
    await grant(ledger, LAB_ON_RACK, "20")
    chance = random.Random(20261121)
    for _ in range(3):
        await asyncio.gather(
            *(
                accepted(ledger, user, chance.uniform(0.0, 0.5), chance.choice(["rack", "other"]))
                for user in MEMBERS
                for _ in range(6)
            )
        )
        assert await scalar(ledger, OVERDRAWN) == 0
        handed = await everything_handed_over(ledger)
        doings = [one_end(ledger, job, chance) for job in handed]
        doings += [accepted(ledger, user, chance.uniform(0.0, 0.5)) for user in MEMBERS * 3]
        doings += [changed(ledger, chance) for _ in range(6)]
        chance.shuffle(doings)
        looks = [adds_up(ledger) for _ in range(6)]
        await asyncio.gather(*doings, *looks)
        await require_in_order(ledger)
    assert await scalar(ledger, "SELECT count(*) FROM charges") > 20
    await adds_up(ledger)


async def one_end(ledger: Ledger, job: Job, chance: random.Random) -> bool:
    """Some twice: the second changes nothing."""
    state = chance.choice([JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED])
    seconds, twice = chance.uniform(0.0, 0.4), chance.random() < 0.5
    for _ in range(1 + twice):
        if state is JobState.COMPLETED:
            await store(ledger, [await finished(ledger, job, seconds)])
        else:
            async with ledger.begin() as session:
                await events.move(session, CARRIER, [job.id], state)
    return True


async def changed(ledger: Ledger, chance: random.Random) -> bool:
    change = chance.choice([grant, revoke])
    await change(ledger, chance.choice([LAB, LAB_ON_RACK]), f"{chance.uniform(0.1, 1):.6f}")
    return True


async def adds_up(ledger: Ledger) -> bool:
    """Also while others write: a statement is of one moment."""
    since = datetime.now(UTC) - timedelta(hours=1)
    made = await statements.make(ledger, OPERATOR, "lab", since)
    assert len(made.allowances) == 2
    for line in made.allowances:
        used = [one for one in made.usage if line.scope.qpu in (None, one.qpu)]
        assert line.opening + line.granted - line.charged == line.closing
        assert line.granted == sum(one.amount for one in line.grants)
        assert line.charged + line.free == sum(one.seconds for one in used)
        assert line.reserved == sum(one.reserved for one in used)
    return True


async def test_estimates_that_grow_at_once_take_no_more_than_there_is(ledger: Ledger) -> None:
    await open_lab(ledger, *(one.user for one in MEMBERS))
    await grant(ledger, LAB, "10")
    batches = {(await submit(ledger, user, estimate_seconds=0.5)).batch_id for user in MEMBERS}
    prepared: list[Job] = []
    for batch_id in batches:
        await begin(ledger, batch_id)
        prepared += await take(ledger, batch_id)

    async def grow(job: Job) -> bool:
        async with ledger.begin() as session:
            scope = Scope("lab", "rack")
            return bool(await reservations.adjust(session, scope, {job.id: 2.0}))

    async def cancel(job: Job) -> bool:
        async with ledger.begin() as session:
            await events.move(session, CARRIER, [job.id], JobState.CANCELLED)
        return False

    await asyncio.gather(*(grow(job) for job in prepared), *(cancel(job) for job in prepared[:2]))
    assert await scalar(ledger, OVERDRAWN) == 0
    await require_in_order(ledger)


async def test_nothing_of_this_ends_in_a_deadlock(ledger: Ledger) -> None:
    """Several jobs a transaction, in any order, on both allowances."""
    await open_lab(ledger, *(one.user for one in MEMBERS))
    await grant(ledger, LAB, "100")
    await grant(ledger, LAB_ON_RACK, "100")
    await asyncio.gather(
        *(submit(ledger, user, estimate_seconds=0.1) for user in MEMBERS for _ in range(10))
    )
    handed = await everything_handed_over(ledger)
    random.Random(1).shuffle(handed)
    chunks = [handed[start : start + 5] for start in range(0, len(handed), 5)]

    async def ended(chunk: list[Job]) -> None:
        done = [await finished(ledger, job, 0.1) for job in chunk[:3]]
        try:
            async with ledger.begin() as session:
                await events.move(session, CARRIER, [job.id for job in chunk[3:]], JobState.FAILED)
            await store(ledger, done)
        except Unavailable as error:  # pragma: no cover
            raise AssertionError("two writers were in each other's way") from error

    await asyncio.gather(*(ended(chunk) for chunk in chunks))
    after = await allowance(ledger, LAB)
    assert (after.reserved, after.charged) == (0, Decimal("4.8"))
    await require_in_order(ledger)
