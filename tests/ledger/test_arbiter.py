"""The arbiter on a real database: one decision, one lane, whoever asks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert

from qpuflow.domain.booking import BookingKind
from qpuflow.domain.job import JobState
from qpuflow.domain.policy import PolicyRules, Wait
from qpuflow.domain.principal import Principal
from qpuflow.ledger import arbiter, events, leases
from qpuflow.ledger.arbiter import After, Question, Turn
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.schema import BookingRow
from tests.ledger.entities import (
    ALICE,
    BOB,
    CARRIER,
    QPU,
    begin,
    register,
    rows,
    scalar,
    submit,
    take,
)

RULES = PolicyRules()
Answer = Turn | Wait | After
USED = """
INSERT INTO usages VALUES ('rack', :user, :seconds, now() - make_interval(hours => :hours))
ON CONFLICT (qpu, "user") DO UPDATE SET seconds = excluded.seconds, as_of = excluded.as_of
RETURNING 1
"""


class Asker:
    """A carrier with one chunk of its user's jobs, ready to run."""

    def __init__(self, ledger: Ledger, batch_id: UUID, carrier_id: UUID, ids: list[UUID]) -> None:
        self.ledger, self.batch_id, self.carrier_id, self.ids = ledger, batch_id, carrier_id, ids

    @classmethod
    async def come(
        cls, ledger: Ledger, who: Principal, count: int = 1, seconds: float = 1.0
    ) -> Asker:
        accepted = [await submit(ledger, who) for _ in range(count)]
        carrier_id = await begin(ledger, accepted[0].batch_id)
        ids = [job.id for job in await take(ledger, accepted[0].batch_id)]
        asker = cls(ledger, accepted[0].batch_id, carrier_id, ids)
        await asker.get_ready(seconds)
        return asker

    async def get_ready(self, seconds: float = 1.0) -> None:
        ready = dict.fromkeys(self.ids, seconds)
        question = Question(QPU, self.carrier_id, self.batch_id, 60, ready)
        async with self.ledger.begin() as session:
            await arbiter.get_ready(session, question, RULES)

    async def ask(self, rules: PolicyRules = RULES) -> Answer:
        question = Question(QPU, self.carrier_id, self.batch_id, 60)
        async with self.ledger.begin() as session:
            return await arbiter.ask(session, question, rules)

    async def turn(self, rules: PolicyRules = RULES) -> Turn:
        answer = await self.ask(rules)
        assert isinstance(answer, Turn), answer
        return answer

    async def wait(self, rules: PolicyRules = RULES) -> Wait:
        answer = await self.ask(rules)
        assert isinstance(answer, Wait), answer
        return answer

    async def done(self, turn: Turn) -> None:
        async with self.ledger.begin() as session:
            await leases.release(session, QPU, turn.fencing_token)
            ids = list(turn.job_ids)
            await events.move(session, CARRIER, ids, JobState.FAILED, reason="It has run")


async def book(ledger: Ledger, start: float, end: float, project: str | None = "alice") -> None:
    now = datetime.now(UTC)
    kind = BookingKind.PROJECT if project else BookingKind.MAINTENANCE
    async with ledger.begin() as session:
        await session.execute(
            insert(BookingRow).values(
                id=UUID(int=int(abs(start * 1000)) + 1),
                qpu=QPU,
                project=project,
                kind=kind.value,
                starts_at=now + timedelta(seconds=start),
                ends_at=now + timedelta(seconds=end),
                created_by="alice",
            )
        )


async def test_of_two_carriers_the_older_job_goes_first_whoever_asks_first(ledger: Ledger) -> None:
    alice, bob = await Asker.come(ledger, ALICE), await Asker.come(ledger, BOB)
    assert await bob.ask() == After(alice.batch_id)
    turn = await alice.turn()
    assert (await bob.wait()).reason == "Other jobs are running"
    await alice.done(turn)
    assert (await bob.turn()).fencing_token == turn.fencing_token + 1


async def test_two_who_race_get_one_lane_and_two_get_two(ledger: Ledger) -> None:
    for lanes in (1, 2):
        await register(ledger, lanes=lanes)
        askers = [
            await Asker.come(ledger, Principal(f"u{lanes}{n}", f"u{lanes}{n}")) for n in range(4)
        ]
        won = await asyncio.gather(*(_won(one) for one in askers))
        assert sum(won) == lanes
        held = "SELECT count(*) FROM leases WHERE released_at IS NULL"
        assert await scalar(ledger, held) == lanes
        await rows(ledger, "UPDATE leases SET released_at = now() RETURNING 1")
        for one in askers:
            async with ledger.begin() as session:
                await arbiter.withdraw(session, one.batch_id)


async def _won(asker: Asker) -> bool:
    """Asked often enough that everybody whose turn it was has asked before."""
    for _ in range(8):
        if isinstance(await asker.ask(), Turn):
            return True
    return False


async def test_a_carrier_that_lost_the_answer_gets_the_same_turn(ledger: Ledger) -> None:
    alice = await Asker.come(ledger, ALICE, 3, 0.1)
    turn = await alice.turn()
    await alice.get_ready(0.1)
    assert await alice.turn() == turn
    assert await scalar(ledger, "SELECT count(*) FROM leases") == 1


async def test_a_lease_that_is_no_longer_its_turn_is_given_back(ledger: Ledger) -> None:
    bob = await Asker.come(ledger, BOB)
    await bob.turn()
    await bob.get_ready()
    alice = await Asker.come(ledger, ALICE)
    await book(ledger, -1, 60)
    assert await bob.ask() == After(alice.batch_id)
    assert await scalar(ledger, "SELECT count(*) FROM leases WHERE released_at IS NULL") == 0


async def test_users_take_turns(ledger: Ledger) -> None:
    alice = await Asker.come(ledger, ALICE, 6)
    bob = await Asker.come(ledger, BOB, 6)
    turn = await alice.turn()
    assert turn.job_ids == set(alice.ids[:2])
    await rows(ledger, "UPDATE leases SET granted_at = now() - interval '2 s' RETURNING 1")
    await alice.done(turn)
    await alice.get_ready()
    assert await alice.ask() == After(bob.batch_id)
    turn = await bob.turn()
    assert turn.job_ids == set(bob.ids[:2])


async def test_what_did_not_fit_a_turn_keeps_no_second_lane_free(ledger: Ledger) -> None:
    await register(ledger, lanes=2)
    alice = await Asker.come(ledger, ALICE, 6)
    bob = await Asker.come(ledger, BOB)
    await rows(ledger, USED, user="bob", seconds=100, hours=0)
    assert len((await alice.turn()).job_ids) == 2
    await bob.turn()


async def test_used_time_weighs_half_after_the_half_life(ledger: Ledger) -> None:
    alice, bob = await Asker.come(ledger, ALICE), await Asker.come(ledger, BOB)
    await rows(ledger, USED, user="bob", seconds=100, hours=0)
    await rows(ledger, USED, user="alice", seconds=300, hours=24)
    assert await alice.ask() == After(bob.batch_id)
    await rows(ledger, USED, user="alice", seconds=300, hours=48)
    assert await bob.ask() == After(alice.batch_id)


async def test_somebody_who_comes_back_after_years_keeps_nobody_waiting(ledger: Ledger) -> None:
    """Half of a half, 1,100 times over, is less than a number can be."""
    alice = await Asker.come(ledger, ALICE, 9)
    await rows(ledger, USED, user="alice", seconds=300, hours=24 * 1_100)
    await alice.done(await alice.turn())
    await alice.ask()
    assert await scalar(ledger, "SELECT seconds FROM usages") < 10


async def test_the_time_of_a_lease_counts_once(ledger: Ledger) -> None:
    alice = await Asker.come(ledger, ALICE, 9)
    await rows(ledger, USED, user="alice", seconds=8, hours=24)
    turn = await alice.turn()
    await rows(ledger, "UPDATE leases SET granted_at = now() - interval '5 s' RETURNING 1")
    await alice.done(turn)
    for _ in range(2):
        await alice.ask()
        seconds = await scalar(ledger, "SELECT seconds FROM usages")
        assert 9 <= seconds < 9.5


async def test_a_booker_goes_first_and_is_not_kept_waiting_by_what_is_not_ready(
    ledger: Ledger,
) -> None:
    bob = await Asker.come(ledger, BOB)
    await submit(ledger, ALICE)  # accepted, and its carrier still on the way
    await book(ledger, -60, 60)
    wait = await bob.wait()
    assert "booked by alice, who use it" in wait.reason
    assert wait.until is not None
    alice = await Asker.come(ledger, ALICE)
    assert await bob.ask() != After(bob.batch_id)
    await alice.turn()


async def test_an_idle_booking_is_lent_one_job_at_a_time(ledger: Ledger) -> None:
    await submit(ledger, ALICE)
    await rows(ledger, "UPDATE jobs SET state = 'cancelled', finished_at = now() RETURNING 1")
    bob = await Asker.come(ledger, BOB, 3, 0.1)
    await book(ledger, -2, 60)
    assert "not yet idle" in (await bob.wait()).reason
    turn = await bob.turn(PolicyRules(idle_threshold_seconds=1))
    assert turn.job_ids == {bob.ids[0]}


async def test_a_driver_that_cannot_stop_its_work_does_not_lend(ledger: Ledger) -> None:
    await submit(ledger, ALICE)
    await register(ledger, interruptible=False)
    await rows(ledger, "UPDATE jobs SET state = 'cancelled', finished_at = now() RETURNING 1")
    bob = await Asker.come(ledger, BOB)
    await book(ledger, -60, 60)
    assert "booked by alice" in (await bob.wait()).reason


async def test_maintenance_keeps_everybody_out_and_says_until_when(ledger: Ledger) -> None:
    alice = await Asker.come(ledger, ALICE)
    await book(ledger, -1, 60, None)
    wait = await alice.wait()
    assert "in maintenance" in wait.reason
    assert wait.until is not None
    assert 50 < (wait.until - datetime.now(UTC)).total_seconds() <= 60


@pytest.mark.parametrize(("seconds", "starts"), [(5, True), (50, False)])
async def test_near_a_booking_only_what_ends_in_time_starts(
    ledger: Ledger,
    seconds: float,
    starts: bool,
) -> None:
    bob = await Asker.come(ledger, BOB, seconds=seconds)
    await submit(ledger, ALICE)
    await book(ledger, 30, 60)
    assert isinstance(await bob.ask(), Turn) is starts


async def test_a_carrier_that_fell_silent_is_not_waited_for(ledger: Ledger) -> None:
    alice, bob = await Asker.come(ledger, ALICE), await Asker.come(ledger, BOB)
    assert await bob.ask() == After(alice.batch_id)
    silent = (
        "UPDATE carriers SET heartbeat_at = now() - interval '2 min' WHERE id = :id RETURNING 1"
    )
    await rows(ledger, silent, id=alice.carrier_id)
    await bob.turn()


async def test_a_job_is_told_why_and_when_also_before_its_carrier_runs(ledger: Ledger) -> None:
    alice = await Asker.come(ledger, ALICE, seconds=40)
    await alice.turn()
    waiting = await submit(ledger, BOB)
    async with ledger.begin() as session:
        told = await arbiter.forecast(session, RULES, waiting.job_id)
    assert told is not None
    assert told.reason == "Other jobs come first"
    assert told.until is not None
    assert 30 < (told.until - datetime.now(UTC)).total_seconds() <= 41


async def test_work_overruns_only_into_somebodys_booking(ledger: Ledger) -> None:
    bob = await Asker.come(ledger, BOB, seconds=1)
    await submit(ledger, ALICE)
    turn = await bob.turn()

    async def overrun() -> bool:
        async with ledger.begin() as session:
            return await arbiter.has_overrun(session, QPU, turn.fencing_token, RULES)

    await book(ledger, -1, 60)
    assert not await overrun()
    await rows(ledger, "UPDATE leases SET ends_at = now() - interval '3 s' RETURNING 1")
    assert await overrun()
    await rows(ledger, "UPDATE bookings SET project = 'bob' RETURNING 1")
    assert not await overrun()
