"""Step 3: hand each job to the QPU once: intent before, ticket after, questions in between."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.device import DeviceStatus
from qpuflow.domain.errors import InputError, OutcomeUnknown, PartlyAccepted, Refused
from qpuflow.domain.job import JobState
from qpuflow.drivers.base import Driver, FencedDriver, Ticket
from qpuflow.ledger import arbiter, clearance, events, intents
from qpuflow.ledger.clearance import Asked, Clearance
from qpuflow.ledger.intents import Handover
from qpuflow.ledger.live import lost
from qpuflow.ledger.schema import IntentState
from qpuflow.tasks.attempts import again, pause_seconds
from qpuflow.tasks.recalling import content_hash
from qpuflow.tasks.step import step
from qpuflow.tasks.work import Carrying, Chunk, Work

_Settled = tuple[Work, IntentState]
LOOK_SECONDS = 2.0
"""How soon a cancellation is heard of while a QPU is left alone."""
_log = logging.getLogger("prefect.qpuflow")
LATE = "The lease ran out before it was handed over"
CANCELLED = "Cancelled before it was handed over"
REST_LOST = "It has some circuits of it, and which the others were is not known any more"


@step("dispatch")
async def dispatch(chunk: Chunk) -> Chunk:
    """Where an attempt was made before, its outcome is asked for; it is never made twice."""
    carrying = chunk.carrying
    for group in _groups(carrying, chunk.active):
        works, known = await _intend(chunk, group)
        settled = [
            await _hand_over(chunk, work, known.get(work.job.id))
            for work in works
            if work.end is None and work.ticket is None
        ]
        if settled:
            await _record(carrying, settled)
        chunk = chunk.updated([*works, *(work for work, _ in settled)])
    return chunk


async def _intend(chunk: Chunk, group: Sequence[Work]) -> tuple[list[Work], dict[UUID, Handover]]:
    """What was attempted before, and an intent for each that was not.

    Without an intent leave those that somebody cancelled, and all when the lease has run out or
    an operator has stopped the QPU.
    """
    carrying, jobs = chunk.carrying, [work.job for work in group]
    hashes = [content_hash(work, work.payload_hashes) for work in group]
    async with carrying.ledger.look(durable=carrying.qpu.device.outside_effects) as session:
        cleared = await clearance.hand_over(
            session, carrying.principal, _asked(chunk), jobs, hashes
        )
        if not cleared.is_live:
            raise lost(carrying.carrier_id)
        attempted = [job for job in jobs if job.id in cleared.attempted]
        known = await intents.find(session, attempted) if attempted else {}
        new = [_unless_kept(work, cleared) for work in group if work.job.id not in known]
        left = {work.job.id for work in new if work.end is None} - cleared.intended
        if left:
            await events.refuse(session, left, JobState.RUNNING)
    before = [_with_known_ticket(work, known) for work in group if work.job.id in known]
    return [*before, *new], known


def _asked(chunk: Chunk) -> Asked:
    return Asked(chunk.carrying.qpu.name, chunk.carrying.carrier_id, chunk.fencing_token)


def _unless_kept(work: Work, cleared: Clearance) -> Work:
    if not cleared.holds:
        return work.ended(JobState.QUEUED, LATE)
    if cleared.stopped is not None:
        return work.put_back(cleared.stopped)
    if work.job.id in cleared.cancelled:
        return work.ended(JobState.CANCELLED, CANCELLED)
    return work


def _with_known_ticket(work: Work, known: dict[UUID, Handover]) -> Work:
    handover = known.get(work.job.id)
    if handover is None or handover.remote_id is None:
        return work
    return replace(work, ticket=Ticket(handover.remote_id, handover.token, handover.details))


def _groups(carrying: Carrying, works: Sequence[Work]) -> list[list[Work]]:
    """One at a time where a lost ticket could cost a second execution, else all together."""
    if carrying.qpu.device.outside_effects:
        return [[work] for work in works]
    return [list(works)] if works else []


async def _hand_over(chunk: Chunk, work: Work, before: Handover | None) -> _Settled:
    """Submit, or ask for the outcome of the attempt that a dead carrier began."""
    carrying = chunk.carrying
    token = intents.token_of(work.job)
    if before is not None:
        return await _outcome(carrying, work, token, before)
    try:
        ticket = await _submit_when_it_may(chunk, work, token)
    except InputError as error:
        return work.ended(JobState.FAILED, str(error)), IntentState.REFUSED
    except _Cancelled:
        return work.ended(JobState.CANCELLED, CANCELLED), IntentState.REFUSED
    except Refused as error:
        return again(carrying, work, str(error)), IntentState.REFUSED
    except Exception as error:  # noqa: BLE001  whatever it was, the QPU may have accepted the job
        return await _reconcile(carrying, work, token, str(error) or type(error).__name__)
    return replace(work, ticket=ticket), IntentState.ACCEPTED


async def _outcome(carrying: Carrying, work: Work, token: str, before: Handover) -> _Settled:
    if before.state is IntentState.REFUSED:
        # Under the same token a crash could not be told from a refusal: a new attempt.
        return again(carrying, work, "Refused before its carrier ended"), IntentState.REFUSED
    return await _reconcile(carrying, work, token, "its carrier ended during the dispatch")


async def _submit_when_it_may(chunk: Chunk, work: Work, token: str) -> Ticket:
    """A QPU that refused for now is asked again after a pause, under the same token: it has
    certainly not accepted it. While it is away for everybody, no job's attempts are used up."""
    times, carrying, driver = 0, chunk.carrying, chunk.carrying.driver
    while True:
        try:
            return await _submit(chunk, driver, work, token)
        except Refused as refusal:
            pause = pause_seconds(refusal, times, carrying.settings)
            if pause is None and await _is_away(driver):
                pause = carrying.settings.longest_pause_seconds
            if pause is None or not await _may_after(chunk, work, pause, refusal):
                raise
        times += 1
        driver = await _renewed(carrying, driver)


async def _is_away(driver: Driver) -> bool:
    """It says so, or nothing: what it refuses is not the job."""
    try:
        return (await driver.describe()).status is DeviceStatus.OFFLINE
    except Exception:  # noqa: BLE001  whatever it is, no other job would fare better
        return True


async def _renewed(carrying: Carrying, driver: Driver) -> Driver:
    """As its block is now: credentials may be what it waits for."""
    try:
        return await carrying.renewed() if carrying.renewed is not None else driver
    except Exception as error:  # noqa: BLE001  there is one to go on with
        _log.warning("The block of %s cannot be read: %s", carrying.qpu.name, error)
        return driver


class _Cancelled(Exception):
    """Somebody cancelled the job while the QPU was left alone."""


async def _may_after(chunk: Chunk, work: Work, pause_seconds: float, refusal: Refused) -> bool:
    """Whether it is still the job's turn once the QPU has been left alone. Raises `_Cancelled`."""
    carrying, until = chunk.carrying, time.monotonic() + pause_seconds
    why = f"{carrying.qpu.name} refused, and is asked again in {pause_seconds:.3g} s: {refusal}"
    _log.warning("%s", why)
    async with carrying.ledger.look(durable=False) as session:
        await events.explain(session, work.job.id, why)
    while (rest := until - time.monotonic()) > 0:
        await asyncio.sleep(min(rest, LOOK_SECONDS))
        if not await _may(chunk, work):
            return False
    return True


async def _may(chunk: Chunk, work: Work) -> bool:
    carrying, token = chunk.carrying, chunk.fencing_token
    name, rules = carrying.qpu.name, carrying.settings.policy
    async with carrying.ledger.begin(durable=False) as session:
        cleared = await clearance.look(session, _asked(chunk), [work.job.id])
        if work.job.id in cleared.cancelled:
            raise _Cancelled
        if token is None or await arbiter.has_overrun(session, name, token, rules):
            return False
    return _unless_kept(work, cleared).end is None


async def _submit(chunk: Chunk, driver: Driver, work: Work, token: str) -> Ticket:
    """With the lease's fencing token, where the QPU itself refuses whoever holds an old one."""
    shots = work.job.shots
    async with chunk.carrying.pulse.certain():
        if isinstance(driver, FencedDriver) and chunk.fencing_token is not None:
            return await driver.submit_fenced(work.executables, shots, token, chunk.fencing_token)
        return await driver.submit(work.executables, shots, token)


async def _reconcile(carrying: Carrying, work: Work, token: str, why: str) -> _Settled:
    """Ask the QPU whether it accepted the job. Nothing is submitted in the dark."""
    try:
        ticket = await carrying.driver.find(token)
    except PartlyAccepted:
        return await _hand_over_rest(carrying, work, token, why)
    except Exception as error:  # noqa: BLE001  an answer that nobody understands is none
        return _ambiguous(carrying, work, why, error)
    if ticket is None:
        return again(carrying, work, f"Not accepted: {why}"), IntentState.REFUSED
    return replace(work, ticket=ticket), IntentState.ACCEPTED


async def _hand_over_rest(carrying: Carrying, work: Work, token: str, why: str) -> _Settled:
    """The driver has said that under the same token nothing can be accepted twice."""
    if work.is_outline:
        return _ambiguous(carrying, work, why, OutcomeUnknown(REST_LOST))
    try:
        async with carrying.pulse.certain():
            ticket = await carrying.driver.submit(work.executables, work.job.shots, token)
    except InputError as error:
        return work.ended(JobState.FAILED, str(error)), IntentState.REFUSED
    except Exception as error:  # noqa: BLE001  some parts may be there, so it is no refusal
        return _ambiguous(carrying, work, why, error)
    return replace(work, ticket=ticket), IntentState.ACCEPTED


def _ambiguous(carrying: Carrying, work: Work, why: str, error: Exception) -> _Settled:
    token = intents.token_of(work.job)
    reason = f"Whether {carrying.qpu.name} accepted {token} is unknown ({why}): {error}"
    return work.ended(JobState.AMBIGUOUS, reason), IntentState.AMBIGUOUS


async def _record(carrying: Carrying, settled: Sequence[_Settled]) -> None:
    accepted = [work for work, state in settled if state is IntentState.ACCEPTED]
    others = len(accepted) < len(settled)
    ledger, durable = carrying.ledger, carrying.qpu.device.outside_effects
    # A single statement needs no transaction around it.
    opened = ledger.begin(durable=durable) if others else ledger.look(durable=durable)
    async with opened as session:
        for state in (IntentState.REFUSED, IntentState.AMBIGUOUS):
            tokens = [intents.token_of(work.job) for work, found in settled if found is state]
            await intents.mark(session, tokens, state)
        await _accept(session, carrying, accepted)


async def _accept(session: AsyncSession, carrying: Carrying, works: Sequence[Work]) -> None:
    ids, tickets = [work.job.id for work in works], [_row(work) for work in works]
    waiting, besides = JobState.WAITING, intents.accepted(tickets)
    await events.move(session, carrying.principal, ids, waiting, besides=besides)


def _row(work: Work) -> dict[str, Any]:
    assert work.ticket is not None
    return {
        "token": intents.token_of(work.job),
        "remote_id": work.ticket.id,
        "details": work.ticket.details,
    }
