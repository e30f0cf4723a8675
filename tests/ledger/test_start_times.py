"""When a job may start, and by when it must have: on a real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from qpuflow.domain.device import Control
from qpuflow.domain.errors import InputError
from qpuflow.domain.job import IllegalTransition, JobState
from qpuflow.domain.policy import PolicyRules
from qpuflow.domain.principal import Principal, service
from qpuflow.ledger import arbiter, controls, jobs, missed
from qpuflow.ledger.database import Ledger
from tests.ledger.account_book import LAB, allowance, grant, open_lab, require_in_order
from tests.ledger.entities import ALICE, BOB, QPU, begin, job_of, rows, scalar, submit, take
from tests.ledger.test_arbiter import Asker, book
from tests.ledger.test_claims import CAROL, next_users

IN_LAB = Principal("alice", "lab")
CLOCK = service("clock")
LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
PASS = """
UPDATE jobs SET start_by = now() - interval '1 minute'
WHERE start_by IS NOT NULL AND finished_at IS NULL RETURNING id
"""
COME = """
UPDATE {} SET not_before = now() - interval '1 second' WHERE not_before IS NOT NULL RETURNING 1
"""


async def end_missed(ledger: Ledger) -> list[UUID | None]:
    """The runs that have nothing left to carry."""
    async with ledger.begin() as session:
        affected = await missed.affected(session, QPU)
        return [(await missed.end(session, CLOCK, one))[0] for one in affected]


async def the_moment_comes(ledger: Ledger) -> None:
    for table in ("jobs", "batches"):
        await rows(ledger, COME.format(table))


async def test_what_may_not_start_yet_keeps_no_other_job_s_run(ledger: Ledger) -> None:
    later = [await submit(ledger, ALICE, not_before=LATER) for _ in range(2)]
    still_later = await submit(ledger, ALICE, not_before=LATER + timedelta(hours=1))
    past = datetime.now(UTC) - timedelta(hours=1)
    now = [await submit(ledger, ALICE), await submit(ledger, ALICE, not_before=past)]
    assert len({one.batch_id for one in later}) == 1
    assert len({one.batch_id for one in now}) == 1
    assert len({one.batch_id for one in (*later, still_later, *now)}) == 3


async def test_its_run_is_started_when_the_moment_comes_and_hides_nothing_until_then(
    ledger: Ledger,
) -> None:
    await submit(ledger, ALICE, not_before=LATER)
    await submit(ledger, BOB, not_before=LATER, run=uuid4())
    assert await next_users(ledger) == []
    await submit(ledger, ALICE)
    assert await next_users(ledger) == ["alice"]
    await the_moment_comes(ledger)
    assert sorted(await next_users(ledger)) == ["alice", "bob"]


async def test_a_cancelled_one_s_run_ends_before_its_moment(ledger: Ledger) -> None:
    accepted = await submit(ledger, ALICE, not_before=LATER, run=uuid4())
    async with ledger.begin() as session:
        await jobs.request_cancel(session, ALICE, accepted.job_id)
    assert await next_users(ledger) == ["alice"]


async def asking(ledger: Ledger, who: Principal, **times: Any) -> Asker:
    accepted = await submit(ledger, who, **times)
    carrier_id = await begin(ledger, accepted.batch_id)
    ids = [job.id for job in await take(ledger, accepted.batch_id)]
    asker = Asker(ledger, accepted.batch_id, carrier_id, ids)
    await asker.get_ready()
    return asker


async def test_the_arbiter_gives_no_lane_before_the_moment_nor_after_the_latest_start(
    ledger: Ledger,
) -> None:
    early = await asking(ledger, ALICE, not_before=LATER, start_by=LATER + timedelta(hours=1))
    wait = await early.wait()
    assert wait.until == LATER
    assert wait.reason == f"It is not to start before {LATER:%Y-%m-%d %H:%M:%S UTC}"
    await the_moment_comes(ledger)
    turn = await early.turn()
    await early.done(turn)
    late = await asking(ledger, BOB, start_by=LATER)
    await rows(ledger, PASS)
    assert (await late.wait()).reason.endswith("has passed")


async def test_a_waiting_job_says_when_it_may_start(ledger: Ledger) -> None:
    accepted = await submit(ledger, ALICE, not_before=LATER)
    async with ledger.begin() as session:
        told = await arbiter.forecast(session, PolicyRules(), accepted.job_id)
    assert told is not None
    assert "not to start before" in told.reason
    assert told.until == LATER


async def test_a_booking_is_lent_while_its_project_s_work_is_for_later(ledger: Ledger) -> None:
    await submit(ledger, ALICE, not_before=LATER)
    await book(ledger, start=-60, end=600)
    bob = await Asker.come(ledger, BOB)
    await bob.done(await bob.turn())
    await submit(ledger, ALICE)
    assert "who use it" in (await (await Asker.come(ledger, CAROL)).wait()).reason


async def state_and_reason(ledger: Ledger, job_id: UUID) -> tuple[JobState, str]:
    job = await job_of(ledger, job_id)
    return job.state, str(job.reason)


async def test_whoever_was_not_begun_in_time_fails_uncharged_also_on_a_closed_qpu(
    ledger: Ledger,
) -> None:
    await open_lab(ledger, "alice")
    await grant(ledger, LAB, "100")
    run = uuid4()
    accepted = await submit(ledger, IN_LAB, run=run, estimate_seconds=60, start_by=LATER)
    async with ledger.begin() as session:
        await controls.set_control(session, service("operator"), QPU, Control.OFFLINE, "leak")
    assert await end_missed(ledger) == []
    await rows(ledger, PASS)
    assert await end_missed(ledger) == [run]
    state, reason = await state_and_reason(ledger, accepted.job_id)
    assert state is JobState.FAILED
    assert reason.startswith("Its latest start, ")
    assert (await allowance(ledger, LAB)).reserved == 0
    await require_in_order(ledger)
    assert await scalar(ledger, "SELECT count(*) FROM charges") == 0
    assert await end_missed(ledger) == []


async def test_its_run_goes_on_while_it_has_other_jobs(ledger: Ledger) -> None:
    hurried = await submit(ledger, ALICE, start_by=LATER)
    patient = await submit(ledger, ALICE)
    assert hurried.batch_id == patient.batch_id
    await rows(ledger, PASS)
    assert await end_missed(ledger) == [None]
    assert (await state_and_reason(ledger, hurried.job_id))[0] is JobState.FAILED
    assert await next_users(ledger) == ["alice"]


async def test_nobody_ends_what_a_carrier_has_begun(ledger: Ledger) -> None:
    begun = await asking(ledger, ALICE, start_by=LATER)
    await rows(ledger, PASS)
    assert await end_missed(ledger) == []
    assert (await state_and_reason(ledger, begun.ids[0]))[0] is JobState.PREPARING


async def test_ending_and_beginning_at_once_leaves_one_of_them(ledger: Ledger) -> None:
    """Whoever comes second finds the job ended, or its run at work."""
    for number in range(5):
        accepted = await submit(ledger, Principal(f"u{number}", f"u{number}"), start_by=LATER)
        await rows(ledger, PASS)
        _, begun = await asyncio.gather(
            end_missed(ledger), begin(ledger, accepted.batch_id), return_exceptions=True
        )
        left: list[Any] = await take(ledger, accepted.batch_id)
        assert left == []
        held = "SELECT count(*) FROM carriers WHERE holder IS NOT NULL AND state = 'live'"
        assert await scalar(ledger, held) == (0 if isinstance(begun, Exception) else 1)
        await rows(ledger, "UPDATE carriers SET state = 'done' RETURNING 1")


async def test_what_is_too_late_already_is_refused_and_a_known_key_is_answered(
    ledger: Ledger,
) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    with pytest.raises(InputError, match=r"Its latest start, .*, has passed. Give a later one"):
        await submit(ledger, ALICE, start_by=past)
    assert await scalar(ledger, "SELECT count(*) FROM jobs") == 0
    first = await submit(ledger, ALICE, key="mine", start_by=LATER)
    again = await submit(ledger, ALICE, key="mine", start_by=past)
    assert (again.job_id, again.is_new) == (first.job_id, False)


async def test_a_retry_does_not_start_it_too_late(ledger: Ledger) -> None:
    accepted = await submit(ledger, ALICE, start_by=LATER)
    await rows(ledger, PASS)
    await end_missed(ledger)
    with pytest.raises(IllegalTransition, match="Submit it anew"):
        async with ledger.begin() as session:
            await jobs.retry(session, ALICE, accepted.job_id)
