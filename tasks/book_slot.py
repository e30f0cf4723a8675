"""Step 2: the right to run now. Nothing is asked of the QPU without a lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from qpuflow.domain.errors import Unavailable
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.job import JobState
from qpuflow.domain.policy import Wait, missed
from qpuflow.ledger import arbiter, jobs, leases, live
from qpuflow.ledger.arbiter import After, Question, Turn
from qpuflow.tasks import waiting_room
from qpuflow.tasks.affording import affordable
from qpuflow.tasks.step import step
from qpuflow.tasks.work import Carrying, Chunk, Work

NOT_YET = "It waits for its user's next turn"
CANCELLED = "Cancelled before it was handed over"
SOON_SECONDS = 5.0
_log = logging.getLogger("prefect.qpuflow")


@step("book_slot")
async def book_slot(chunk: Chunk) -> Chunk:
    """Wait for this carrier's turn. The lease is kept alive by the carrier's heartbeat.

    Jobs that are not of the turn are queued again: for them nothing has been tried.
    """
    if not chunk.active:
        return chunk
    if any(work.job.state is not JobState.PREPARING for work in chunk.active):
        return chunk.updated([], fencing_token=await _a_lane(chunk.carrying))
    estimates = await _estimates(chunk.carrying, chunk.active)
    chunk = await affordable(chunk, estimates)
    if not chunk.active:
        return chunk
    ready = {work.job.id: _seconds(work, estimates[work.job.id]) for work in chunk.active}
    async with _withdrawn_if_given_up(chunk.carrying):
        while True:
            answer, cancelled, is_known = await _ask(chunk, ready)
            if isinstance(answer, Turn):
                return _granted(chunk, answer)
            is_late = any(_is_late(work) for work in chunk.active)
            if cancelled or is_late or not is_known or _gives_up(chunk.carrying, answer):
                return chunk.updated(_left(work, cancelled) for work in chunk.active)
            ready = {}
            await _rest(chunk, answer)


def _gives_up(carrying: Carrying, answer: Wait | After) -> bool:
    """A run that cannot start soon keeps nobody out of a seat who comes before it. For all others
    it stays: who waits for a seat behind it would only do the same in its place, and be followed
    by it, again and again."""
    if isinstance(answer, After) or not carrying.is_outranked():
        return False
    soon = datetime.now(UTC) + timedelta(seconds=SOON_SECONDS)
    return answer.until is None or answer.until > soon


async def _a_lane(carrying: Carrying) -> int:
    """For work that the QPU has already; whose turn it is was decided when it was handed over."""
    while True:
        async with carrying.ledger.begin() as session:
            await live.require_live(session, carrying.carrier_id)
            token = await leases.acquire(
                session,
                carrying.qpu.name,
                carrying.carrier_id,
                carrying.settings.lost_after_seconds,
            )
        if token is not None:
            return token
        await waiting_room.sleep(carrying.qpu.name, carrying.batch_id, None)


@asynccontextmanager
async def _withdrawn_if_given_up(carrying: Carrying) -> AsyncGenerator[None]:
    """Seen by the arbiter as ready to run, and no longer when this run gives up."""
    try:
        yield
    except BaseException:
        await _withdraw(carrying)
        raise


async def _withdraw(carrying: Carrying) -> None:
    try:
        async with carrying.ledger.begin() as session:
            await live.require_live(session, carrying.carrier_id)
            await arbiter.withdraw(session, carrying.batch_id)
    except Unavailable as error:
        _log.warning("Others wait until this carrier is missed: %s", error)


async def _estimates(carrying: Carrying, works: Sequence[Work]) -> dict[UUID, Estimate | Exception]:
    """What the driver says, or why it says nothing."""
    found = await asyncio.gather(*(_estimate(carrying, work) for work in works))
    return {work.job.id: estimate for work, estimate in zip(works, found, strict=True)}


async def _estimate(carrying: Carrying, work: Work) -> Estimate | Exception:
    try:
        estimate = await carrying.driver.estimate(work.executables, work.job.shots)
    except Exception as error:  # noqa: BLE001  what is wrong with the job, the dispatch will say
        _log.warning("Job %s has no estimate: %r", work.job.id, error)
        return error
    return replace(estimate, seconds=_at_least(work, estimate.seconds))


def _at_least(work: Work, seconds: float) -> float:
    """A first attempt knows only the guess that was made before it was compiled; a later one may
    have learned when it was cut off."""
    return seconds if work.job.attempt == 1 else max(seconds, work.job.estimate_seconds)


def _seconds(work: Work, estimate: Estimate | Exception) -> float:
    return estimate.seconds if isinstance(estimate, Estimate) else work.job.estimate_seconds


async def _ask(
    chunk: Chunk, ready: Mapping[UUID, float]
) -> tuple[Turn | Wait | After, set[UUID], bool]:
    """The arbiter's answer; whose user has given up; and whether the ledger knows who asks.

    It does not after a crash that made it forget: then they are taken from the queue again.
    `ready` has the estimates of jobs that have not asked before.
    """
    carrying = chunk.carrying
    question = Question(
        carrying.qpu.name,
        carrying.carrier_id,
        carrying.batch_id,
        carrying.settings.lost_after_seconds,
        ready,
    )
    # Forgotten in a crash, the lease is nobody's, and the dispatch finds that before it acts.
    async with carrying.ledger.begin(durable=False) as session:
        answer = await arbiter.ask(session, question, carrying.settings.policy)
        if isinstance(answer, Turn):
            return answer, set(), True
        ids = [work.job.id for work in chunk.active]
        is_known = await jobs.are_asking(session, ids)
        return answer, await jobs.asked_to_cancel(session, ids), is_known


def _granted(chunk: Chunk, turn: Turn) -> Chunk:
    others = [work for work in chunk.active if work.job.id not in turn.job_ids]
    return chunk.updated((_left(work, set()) for work in others), fencing_token=turn.fencing_token)


def _left(work: Work, cancelled: set[UUID]) -> Work:
    if work.job.id in cancelled:
        return work.ended(JobState.CANCELLED, CANCELLED)
    if _is_late(work) and (start_by := work.job.start_by):
        return work.ended(JobState.FAILED, missed(start_by))
    return work.put_back(NOT_YET)


def _is_late(work: Work) -> bool:
    return work.job.start_by is not None and work.job.start_by < datetime.now(UTC)


async def _rest(chunk: Chunk, answer: Wait | After) -> None:
    """Until it may be this carrier's turn; the one whose turn it is is woken at once."""
    name, left = chunk.carrying.qpu.name, None
    if isinstance(answer, After):
        waiting_room.wake(name, answer.batch_id)
    elif answer.until is not None:
        left = (answer.until - datetime.now(UTC)).total_seconds()
    await waiting_room.sleep(name, chunk.carrying.batch_id, left)
