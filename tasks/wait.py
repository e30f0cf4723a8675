"""Step 4: follow what the QPU accepted until it has ended, and fetch what it gave."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Container
from dataclasses import replace
from uuid import UUID

from qpuflow.domain.errors import Unavailable
from qpuflow.domain.job import JobState
from qpuflow.drivers.base import (
    Driver,
    ForgetfulDriver,
    Outcome,
    RemoteState,
    RemoteStatus,
    Ticket,
)
from qpuflow.ledger import arbiter, jobs, leases
from qpuflow.tasks import waiting_room
from qpuflow.tasks.attempts import again
from qpuflow.tasks.step import step
from qpuflow.tasks.work import Carrying, Chunk, Work

CANCEL_POLL_SECONDS = 0.5
OVERRUN = "It ran longer than expected, into a booking, and was cut off; it will run again"
_log = logging.getLogger("prefect.qpuflow")


@step("wait")
async def wait(chunk: Chunk) -> Chunk:
    """All jobs at once. The lane is free again as soon as the QPU is done with them."""
    carrying = chunk.carrying
    cut_off: set[UUID] = set()
    cancels = asyncio.create_task(_pass_on_cancellations(chunk, cut_off))
    try:
        async with asyncio.TaskGroup() as group:
            followed = [
                group.create_task(_settle(carrying, work, cut_off)) for work in chunk.active
            ]
    except* Exception as failures:
        raise failures.exceptions[0] from failures
    finally:
        cancels.cancel()
    if chunk.fencing_token is not None:
        async with carrying.ledger.look(durable=False) as session:
            await leases.release(session, carrying.qpu.name, chunk.fencing_token)
        waiting_room.wake_one(carrying.qpu.name)
    return chunk.updated(task.result() for task in followed)


async def _settle(carrying: Carrying, work: Work, cut_off: Container[UUID]) -> Work:
    """A job whose result cannot be had fails by itself; only what may pass repeats the step."""
    limit_seconds = carrying.settings.run_timeout_seconds
    limit = asyncio.timeout(limit_seconds)
    try:
        async with limit:
            return await _follow(carrying, work, cut_off)
    except TimeoutError as error:
        assert work.ticket is not None
        if not limit.expired():
            raise Unavailable("The QPU's driver ran out of patience", remedy="Wait.") from error
        await carrying.driver.cancel(work.ticket)
        why = f"It ran for more than {limit_seconds:g} s and was stopped"
        return work.ended(JobState.FAILED, why)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001  a driver met what it did not expect
        return work.ended(JobState.FAILED, f"Its result cannot be read: {error!r}")


async def _follow(carrying: Carrying, work: Work, cut_off: Container[UUID]) -> Work:
    assert work.ticket is not None
    began = time.perf_counter()
    status = await _last_status(carrying, work.ticket)
    if status is None:
        return replace(work, is_left=True)
    match status.state:
        case RemoteState.COMPLETED:
            outcome = await _fetch(carrying.driver, work)
            return replace(work, outcome=outcome).timed("wait", time.perf_counter() - began)
        case RemoteState.CANCELLED if work.job.id in cut_off:
            return work.ended(JobState.QUEUED, OVERRUN)
        case RemoteState.CANCELLED:
            return work.ended(JobState.CANCELLED, status.message or "Cancelled")
        case RemoteState.LOST if not carrying.qpu.device.outside_effects:
            return again(carrying, work, "Lost with the process that ran it")
        case _:
            return work.ended(JobState.FAILED, status.message or f"The QPU says {status.state}")


async def _last_status(carrying: Carrying, ticket: Ticket) -> RemoteStatus | None:
    """None when it takes longer than a run should wait for a QPU with a queue of its own."""
    status = RemoteStatus(RemoteState.LOST, "The QPU said nothing")
    leaves = carrying.qpu.device.queues and carrying.may_sleep
    patience = asyncio.timeout(carrying.settings.suspend_after_seconds if leaves else None)
    try:
        async with patience:
            async for status in carrying.driver.watch(ticket):
                if status.state.is_final:
                    break
    except TimeoutError:
        if not patience.expired():
            raise
        return None
    return status


async def _fetch(driver: Driver, work: Work) -> Outcome:
    assert work.ticket is not None
    if isinstance(driver, ForgetfulDriver):
        return await driver.fetch_for(work.ticket, work.executables)
    return await driver.fetch(work.ticket)


async def _pass_on_cancellations(chunk: Chunk, cut_off: set[UUID]) -> None:
    """Tell the QPU of every cancellation asked for, once, and stop what overruns."""
    carrying = chunk.carrying
    tickets = {work.job.id: work.ticket for work in chunk.active if work.ticket is not None}
    while tickets:
        # The dispatch has just looked.
        await asyncio.sleep(CANCEL_POLL_SECONDS)
        for job_id in await _asked_for(chunk, tickets, cut_off):
            try:
                await carrying.driver.cancel(tickets[job_id])
                del tickets[job_id]
            except Exception as error:  # noqa: BLE001  it is tried again, and so are the others
                _log.warning("The cancellation of job %s is not passed on yet: %s", job_id, error)


async def _asked_for(chunk: Chunk, waiting: Collection[UUID], cut_off: set[UUID]) -> set[UUID]:
    """Those to be stopped: whom somebody cancelled; all that wait, noted as `cut_off`, when they
    overrun."""
    try:
        async with chunk.carrying.ledger.begin() as session:
            asked = set(await jobs.asked_to_cancel(session, list(waiting)))
        if await _has_overrun(chunk):
            cut_off |= {*waiting} - asked
            asked = {*waiting}
    except Exception as error:  # noqa: BLE001  it looks again
        _log.warning("Whether a job is to be stopped is not known: %s", error)
        return set()
    return asked | {job_id for job_id in waiting if job_id in cut_off}


async def _has_overrun(chunk: Chunk) -> bool:
    """Whether this turn keeps a booker from their time. What it took is noted for the next."""
    carrying, token = chunk.carrying, chunk.fencing_token
    if token is None:
        return False
    async with carrying.ledger.begin() as session:
        name, rules = carrying.qpu.name, carrying.settings.policy
        if not await arbiter.has_overrun(session, name, token, rules):
            return False
        await arbiter.cut_off(session, name, token, [work.job.id for work in chunk.active])
    return True
