"""A flow run at work as the carrier of a batch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID, uuid4

from prefect.exceptions import Pause
from prefect.flow_runs import asuspend_flow_run
from prefect.runtime import deployment, flow_run

from qpuflow.domain.errors import Unavailable
from qpuflow.domain.principal import service
from qpuflow.flows.holders import this_process
from qpuflow.flows.resources import Resources, rules_of_this_run
from qpuflow.flows.seat import Seat
from qpuflow.ledger import asleep, batches, carriers, leases, qpus
from qpuflow.tasks.pulse import Pulse
from qpuflow.tasks.work import Carrying

CERTAIN = 0.8
"""The part of the silence, after which a carrier counts as lost, in which it still submits."""
_log = logging.getLogger("prefect.qpuflow")


class AtTheQpu(Pause):
    """The run was suspended: the QPU has its jobs, and the QPU's watcher will resume it."""


def _may_sleep() -> bool:
    """Prefect suspends only what a worker can start again: not a call in a script, no subflow."""
    return bool(deployment.get_id()) and flow_run.get_parent_flow_run_id() is None


async def fall_asleep(resources: Resources, flow_run_id: UUID) -> None:
    """Suspend this run, whatever it waits for. Raises `AtTheQpu`."""
    resources.leaves_by_itself(flow_run_id)
    try:
        await asuspend_flow_run(key=uuid4().hex)
    except Pause as pause:
        raise AtTheQpu(state=pause.state) from pause


@asynccontextmanager
async def carry(
    resources: Resources, batch_id: UUID, seat: Seat, *, comes_back: bool = False
) -> AsyncGenerator[Carrying]:
    """Be the batch's carrier: alive for the ledger while the block runs, done after it.

    A run that `comes_back` for what it has not begun stays the carrier meanwhile.
    Raises `CarrierLost` when another run carries the batch, also in the middle of the block.
    """
    ledger, principal = resources.ledger, service("carrier")
    settings = resources.settings.for_qpu(rules_of_this_run())
    pulse = Pulse(CERTAIN * settings.lost_after_seconds)
    async with ledger.begin() as session:
        carrier_id = await carriers.begin(session, batch_id, seat.flow_run_id, this_process())
        await batches.start(session, principal, batch_id)
        qpu = await qpus.find(session, (await batches.find(session, batch_id)).qpu)
    carrying = Carrying(
        ledger,
        settings,
        principal,
        carrier_id,
        batch_id,
        qpu,
        await resources.driver(qpu),
        resources.compilers,
        pulse,
        seat.is_wanted,
        partial(seat.is_outranked, batch_id),
        _may_sleep(),
        resources.tket,
        renewed=partial(resources.driver, qpu),
    )
    with resources.carried_by(seat.flow_run_id) as suspension:
        try:
            async with _kept_alive(carrying):
                yield carrying
        except AtTheQpu:
            async with ledger.begin() as session:
                await asleep.fall_asleep(session, carrier_id)
            raise
        except Pause:
            await _rest(carrying)
            raise
        except asyncio.CancelledError:
            if suspension.state is not None:
                await _rest(carrying)
                raise Pause(state=suspension.state) from None
            if resources.draining.is_set():
                await _hand_on(carrying)
            raise
    async with ledger.begin() as session:
        if comes_back and await batches.has_queued(session, batch_id):
            await carriers.wait_again(session, carrier_id)
        else:
            await carriers.finish(session, carrier_id)


async def _rest(carrying: Carrying) -> None:
    """What the QPU has goes on; it is asked for when somebody resumes the run."""
    async with carrying.ledger.begin() as session:
        carriage = await carriers.find(session, carrying.carrier_id)
        await carriers.rest(session, carrying.principal, carriage)


async def _hand_on(carrying: Carrying) -> None:
    """The worker stops in the middle: the next carrier goes on at once, and no job is to blame."""
    async with carrying.ledger.begin() as session:
        carriage = await carriers.find(session, carrying.carrier_id)
        await carriers.lose(session, carrying.principal, carriage, "its worker stopped", None)


@asynccontextmanager
async def _kept_alive(carrying: Carrying) -> AsyncGenerator[None]:
    """A heartbeat while the block runs. Learning that another carrier took over ends the block."""
    block = asyncio.current_task()
    assert block is not None
    heart = asyncio.create_task(_beat(carrying))
    heart.add_done_callback(lambda beaten: beaten.cancelled() or block.cancel())
    try:
        yield
    except asyncio.CancelledError:
        if heart.done() and not heart.cancelled() and (lost := heart.exception()):
            block.uncancel()
            raise lost from None
        raise
    finally:
        heart.cancel()


async def _beat(carrying: Carrying) -> None:
    """Tell the ledger that this carrier lives and keep its leases."""
    settings, loop = carrying.settings, asyncio.get_running_loop()
    while True:
        sent_at = loop.time()
        try:
            async with carrying.ledger.begin(durable=False) as session:
                await carriers.beat(session, carrying.carrier_id)
                await leases.renew(session, carrying.carrier_id, settings.lost_after_seconds)
            carrying.pulse.beaten(sent_at)
        except Unavailable as error:
            _log.warning("No heartbeat: %s", error)
        await asyncio.sleep(settings.heartbeat_seconds)
