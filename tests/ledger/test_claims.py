"""Which carrier starts next, on a real database."""

from __future__ import annotations

from uuid import uuid4

from qpuflow.domain.device import Control
from qpuflow.domain.policy import PolicyRules
from qpuflow.domain.principal import Principal, service
from qpuflow.ledger import claims, controls
from qpuflow.ledger.claims import Held
from qpuflow.ledger.database import Ledger
from tests.ledger.entities import ALICE, BOB, QPU, begin, rows, submit
from tests.ledger.test_arbiter import USED, Asker, book

HANDED_OVER = "UPDATE jobs SET state = 'waiting' WHERE id = :job RETURNING 1"
CAROL = Principal("carol", "carol")


async def next_users(ledger: Ledger) -> list[str]:
    async with ledger.begin() as session:
        found = await claims.next_carriers(session, QPU, PolicyRules())
    return [one.carriage.user for one in found]


async def test_the_oldest_goes_first_and_each_user_stands_there_once(ledger: Ledger) -> None:
    for who in (ALICE, ALICE, BOB, CAROL):
        await submit(ledger, who)
    assert await next_users(ledger) == ["alice", "bob", "carol"]


async def test_who_has_used_less_goes_before_who_came_earlier(ledger: Ledger) -> None:
    await submit(ledger, ALICE)
    await rows(ledger, USED, user="alice", seconds=60, hours=0)
    await submit(ledger, BOB)
    assert await next_users(ledger) == ["bob", "alice"]


async def test_what_was_begun_is_not_started_again(ledger: Ledger) -> None:
    alice, _ = await submit(ledger, ALICE), await submit(ledger, BOB)
    await begin(ledger, alice.batch_id)
    assert await next_users(ledger) == ["bob"]


async def test_a_booker_is_first_and_urgent_also_a_moment_before_the_slot(ledger: Ledger) -> None:
    await submit(ledger, BOB)
    await submit(ledger, ALICE)
    await book(ledger, start=3, end=600)
    async with ledger.begin() as session:
        first, *others = await claims.next_carriers(session, QPU, PolicyRules())
    assert (first.carriage.user, first.is_urgent) == ("alice", True)
    assert [one.carriage.user for one in others] == ["bob"], "two more seconds are still free"


async def test_who_has_to_wait_for_a_booking_takes_no_seat(ledger: Ledger) -> None:
    await submit(ledger, ALICE)
    await book(ledger, start=-60, end=600, project=None)
    assert await next_users(ledger) == []


async def test_what_would_run_into_a_booking_takes_no_seat_from_what_would_not(
    ledger: Ledger,
) -> None:
    await submit(ledger, ALICE, estimate_seconds=100)
    await submit(ledger, BOB, estimate_seconds=1)
    assert await next_users(ledger) == ["alice", "bob"]
    await book(ledger, start=60, end=600, project=None)
    assert await next_users(ledger) == ["bob"]


async def test_on_a_paused_qpu_only_what_it_has_already_is_followed(ledger: Ledger) -> None:
    await submit(ledger, BOB)
    asker = await Asker.come(ledger, ALICE)
    await rows(ledger, HANDED_OVER, job=asker.ids[0])
    await rows(ledger, "UPDATE carriers SET holder = NULL RETURNING 1")
    async with ledger.begin() as session:
        await controls.set_control(session, service("operator"), QPU, Control.PAUSED, "cabling")
    assert await next_users(ledger) == ["alice"]


async def test_what_prefect_holds_back_is_not_started_and_hides_nothing_of_its_user_s(
    ledger: Ledger,
) -> None:
    night, day = uuid4(), uuid4()
    for run in (night, day):
        await submit(ledger, ALICE, run=run)
    await submit(ledger, BOB)
    async with ledger.begin() as session:
        found = await claims.next_carriers(
            session, QPU, PolicyRules(), Held(frozenset({night}), is_own=True)
        )
    assert [one.carriage.flow_run_id for one in found] == [day]


async def test_a_carrier_that_is_left_alone_hides_nothing_of_its_user_s(ledger: Ledger) -> None:
    first, second = await submit(ledger, ALICE), await submit(ledger, ALICE, run=uuid4())
    async with ledger.begin() as session:
        (carrier,) = await claims.next_carriers(session, QPU, PolicyRules())
        assert carrier.carriage.batch_id == first.batch_id
        left_alone = Held(frozenset({carrier.carriage.id}))
        (other,) = await claims.next_carriers(session, QPU, PolicyRules(), left_alone)
    assert other.carriage.batch_id == second.batch_id


async def ahead(ledger: Ledger) -> tuple[list[int], tuple[object, ...]]:
    """Of how many that wait in their seats each of the others is, and who they are."""
    async with ledger.begin() as session:
        queue = await claims.next_carriers(session, QPU, PolicyRules(), silence_seconds=60)
        return [one.ahead_of for one in queue], queue.seated


async def test_who_came_later_is_not_ahead_of_those_that_wait_in_their_seats(
    ledger: Ledger,
) -> None:
    alice, bob = await Asker.come(ledger, ALICE, count=3), await Asker.come(ledger, BOB)
    await submit(ledger, ALICE, run=uuid4())
    await submit(ledger, CAROL)
    assert await ahead(ledger) == ([0, 0], (alice.batch_id, bob.batch_id))


async def test_who_has_used_less_is_ahead_of_who_waits_in_a_seat(ledger: Ledger) -> None:
    alice, bob = await Asker.come(ledger, ALICE), await Asker.come(ledger, BOB)
    await rows(ledger, USED, user="alice", seconds=60, hours=0)
    await rows(ledger, USED, user="bob", seconds=20, hours=0)
    await submit(ledger, CAROL)
    await rows(ledger, USED, user="carol", seconds=40, hours=0)
    await submit(ledger, ALICE, run=uuid4())
    assert await ahead(ledger) == ([1, 0], (bob.batch_id, alice.batch_id))


async def test_a_booking_s_way_is_cleared_of_those_that_cannot_run_before_it(
    ledger: Ledger,
) -> None:
    alice = await Asker.come(ledger, ALICE, seconds=100)
    bob = await Asker.come(ledger, BOB)
    await submit(ledger, CAROL)
    assert await ahead(ledger) == ([0], (alice.batch_id, bob.batch_id))
    await book(ledger, start=60, end=600, project=None)
    assert await ahead(ledger) == ([1], (bob.batch_id, alice.batch_id))


async def test_who_has_not_been_heard_of_has_no_seat(ledger: Ledger) -> None:
    await Asker.come(ledger, ALICE)
    await rows(ledger, "UPDATE carriers SET heartbeat_at = now() - interval '2 min' RETURNING 1")
    await submit(ledger, BOB)
    assert await ahead(ledger) == ([0], ())
