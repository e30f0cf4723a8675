"""What operators do, and what those who wait are told."""

from __future__ import annotations

from uuid import UUID

import pytest

from qpuflow.domain.device import Control
from qpuflow.domain.errors import AccessDenied, Conflict, NotFound, Unavailable
from qpuflow.domain.policy import PolicyRules
from qpuflow.domain.principal import Principal, Role
from qpuflow.ledger import controls, reports
from qpuflow.ledger.arbiter import After
from qpuflow.ledger.database import Ledger
from tests.ledger.entities import ALICE, BOB, QPU, begin, register, rows, submit, take
from tests.ledger.test_arbiter import Asker

OLGA = Principal("olga", "olga", frozenset({Role.USER, Role.OPERATOR}))


async def control(ledger: Ledger, to: Control, reason: str | None = None) -> None:
    async with ledger.begin() as session:
        await controls.set_control(session, OLGA, QPU, to, reason)


async def move_up(ledger: Ledger, job_id: UUID) -> None:
    async with ledger.begin() as session:
        await controls.move_to_front(session, OLGA, job_id, "a talk at noon")


@pytest.mark.parametrize("closed", [Control.PAUSED, Control.OFFLINE])
async def test_a_closed_qpu_starts_nothing_and_says_why(ledger: Ledger, closed: Control) -> None:
    alice = await Asker.come(ledger, ALICE)
    await control(ledger, closed, "helium")
    said = f"rack is {closed.value}: helium (olga)"
    assert (await alice.wait()).reason == said
    report = await reports.status(ledger, ALICE, alice.ids[0], PolicyRules())
    assert (report.waits_because, report.expected_start_at) == (said, None)
    await control(ledger, Control.OPEN)
    report = await reports.status(ledger, ALICE, alice.ids[0], PolicyRules())
    assert report.waits_because == "It is about to start"
    await alice.turn()


async def test_what_a_driver_says_of_itself_outlives_no_control_and_the_other_way(
    ledger: Ledger,
) -> None:
    alice = await Asker.come(ledger, ALICE)
    await control(ledger, Control.PAUSED)
    await register(ledger)
    assert (await alice.wait()).reason == "rack is paused: by olga"
    await control(ledger, Control.OPEN)
    await rows(ledger, "UPDATE qpus SET status = 'offline', status_reason = 'warm' RETURNING 1")
    assert (await alice.wait()).reason == "rack says it is offline: warm"


@pytest.mark.parametrize("closed", [Control.DRAINING, Control.OFFLINE])
async def test_nothing_more_is_accepted_but_what_was_is_found(
    ledger: Ledger, closed: Control
) -> None:
    known = await submit(ledger, key="known")
    await control(ledger, closed, "moving house")
    with pytest.raises(Unavailable, match=f"rack is {closed.value}.*moving house"):
        await submit(ledger)
    assert (await submit(ledger, key="known")).job_id == known.job_id
    assert await rows(ledger, "SELECT count(*) FROM jobs") == [(1,)]


async def test_a_drained_qpu_runs_what_is_queued_and_a_paused_one_accepts(ledger: Ledger) -> None:
    alice = await Asker.come(ledger, ALICE)
    await control(ledger, Control.DRAINING)
    await alice.turn()
    await control(ledger, Control.PAUSED)
    assert (await submit(ledger, BOB)).is_new


async def test_a_job_moved_to_the_front_runs_first_and_its_history_says_why(
    ledger: Ledger,
) -> None:
    alice, bob = await Asker.come(ledger, ALICE), await Asker.come(ledger, BOB)
    assert await bob.ask() == After(alice.batch_id)
    await move_up(ledger, bob.ids[0])
    assert await alice.ask() == After(bob.batch_id)
    report = await reports.status(ledger, BOB, bob.ids[0], PolicyRules())
    last = report.events[-1]
    assert (last.actor, last.detail) == ("olga", "Moved to the front: a talk at noon")


async def test_its_carrier_takes_it_before_older_ones(ledger: Ledger) -> None:
    accepted = [await submit(ledger) for _ in range(3)]
    await move_up(ledger, accepted[2].job_id)
    await begin(ledger, accepted[0].batch_id)
    taken = [job.id for _ in range(2) for job in await take(ledger, accepted[0].batch_id, 1)]
    assert taken == [accepted[2].job_id, accepted[0].job_id]


async def test_only_what_waits_is_moved(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    await rows(ledger, "UPDATE jobs SET state = 'cancelled', finished_at = now() RETURNING 1")
    with pytest.raises(Conflict, match="waits no longer: it is cancelled"):
        await move_up(ledger, accepted.job_id)
    with pytest.raises(NotFound):
        await move_up(ledger, UUID(int=1))


async def test_users_control_nothing(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    async with ledger.begin() as session:
        for to in Control:
            with pytest.raises(AccessDenied):
                await controls.set_control(session, ALICE, QPU, to, None)
        with pytest.raises(AccessDenied):
            await controls.move_to_front(session, ALICE, accepted.job_id, "mine")


async def test_an_unknown_qpu_is_not_found(ledger: Ledger) -> None:
    async with ledger.begin() as session:
        with pytest.raises(NotFound, match="nowhere"):
            await controls.set_control(session, OLGA, "nowhere", Control.PAUSED, None)


async def test_who_did_what_to_a_qpu_and_why_is_kept(ledger: Ledger) -> None:
    await control(ledger, Control.PAUSED, "helium")
    await control(ledger, Control.OPEN)
    async with ledger.begin() as session:
        changes = await controls.history(session, QPU, 10)
        (last,) = await controls.history(session, QPU, 1)
    assert [(one.actor, one.before, one.after, one.reason) for one in changes] == [
        ("olga", Control.PAUSED, Control.OPEN, None),
        ("olga", Control.OPEN, Control.PAUSED, "helium"),
    ]
    assert last == changes[0]
    assert changes[0].at > changes[1].at
