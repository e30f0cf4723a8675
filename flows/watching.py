"""What wakes a carrier whose jobs the QPU has: a task for each, and no run."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

from qpuflow.domain.errors import QpuflowError
from qpuflow.drivers.base import Driver, Ticket
from qpuflow.flows.outbox import prefect_client
from qpuflow.flows.resources import Resources
from qpuflow.ledger import asleep, qpus
from qpuflow.ledger.asleep import Held, Sleeper

LOOK_SECONDS = 2.0
"""Between two looks for those that fell asleep, or that somebody wants."""
GATHER_SECONDS = 5.0
"""After the first result of a carrier with several jobs: the others may be as near."""
AGAIN_SECONDS = 30.0
"""After a watch that broke."""

_log = logging.getLogger("prefect.qpuflow")


@dataclass(frozen=True, slots=True)
class _Followed:
    task: asyncio.Task[None]
    held: list[Held]
    driver: Driver


class Watcher:
    """That of one QPU, in its engine."""

    def __init__(self, shared: Resources, qpu: str) -> None:
        self._shared = shared
        self._qpu = qpu
        self._followed: dict[UUID, _Followed] = {}

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                try:
                    await self._look()
                except QpuflowError as error:
                    _log.warning("Nobody is woken now: %s", error)
                except Exception:  # noqa: BLE001  a driver's own mistake shall not end all waits
                    _log.exception("Nobody is woken now")
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for followed in self._followed.values():
                followed.task.cancel()

    async def _look(self) -> None:
        async with self._shared.ledger.begin() as session:
            found = {one.carrier_id: one for one in await asleep.sleepers(session, self._qpu)}
            gone = self._followed.keys() - found.keys()
            new = [one for one in found.values() if not self._follows(one.carrier_id)]
            tickets = await asleep.held(session, [one.batch_id for one in new])
        for carrier_id in gone:
            await self._leave(self._followed[carrier_id])
            del self._followed[carrier_id]
        for sleeper in found.values():
            if sleeper.is_wanted:
                await self._wake(sleeper)
        driver = await self._driver() if new else None
        for sleeper in new:
            if driver is not None and not sleeper.is_wanted:
                held = tickets[sleeper.batch_id]
                task = asyncio.create_task(self._follow(sleeper, held, driver))
                self._followed[sleeper.carrier_id] = _Followed(task, held, driver)

    async def _leave(self, followed: _Followed) -> None:
        """It was woken; or its run was cancelled in Prefect, and nobody told the QPU."""
        followed.task.cancel()
        async with self._shared.ledger.begin() as session:
            cancelled = await asleep.cancelled(session, [one.job_id for one in followed.held])
        for one in followed.held:
            if one.job_id in cancelled:
                await followed.driver.cancel(_ticket(one))

    def _follows(self, carrier_id: UUID) -> bool:
        followed = self._followed.get(carrier_id)
        return followed is not None and not followed.task.done()

    async def _driver(self) -> Driver:
        async with self._shared.ledger.begin() as session:
            qpu = await qpus.find(session, self._qpu)
        return await self._shared.driver(qpu)

    async def _follow(self, sleeper: Sleeper, tickets: list[Held], driver: Driver) -> None:
        """Wake it for what has ended. A watch that breaks is begun again, later."""
        try:
            watches = [asyncio.create_task(_ended(driver, ticket)) for ticket in tickets]
            try:
                if watches:
                    await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.wait(watches, timeout=GATHER_SECONDS)
                for watch in watches:
                    if watch.done():
                        watch.result()
            finally:
                for watch in watches:
                    watch.cancel()
            await self._wake(sleeper)
        except Exception as error:  # noqa: BLE001  whatever a driver raises, the job is there
            _log.warning("Carrier %s is watched again: %r", sleeper.carrier_id, error)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _wake(self, sleeper: Sleeper) -> None:
        async with prefect_client() as client:
            await _resume(client, sleeper.flow_run_id)
        async with self._shared.ledger.begin() as session:
            await asleep.wake(session, sleeper.carrier_id, self._qpu)


def _ticket(held: Held) -> Ticket:
    return Ticket(held.remote_id, held.token, held.details)


async def _ended(driver: Driver, held: Held) -> None:
    async for status in driver.watch(_ticket(held)):
        if status.state.is_final:
            return


async def _resume(client: PrefectClient, run_id: UUID) -> None:
    """One that is resumed already, or ended, or deleted, is left as it is."""
    try:
        run = await client.read_flow_run(run_id)
        if run.state is not None and run.state.is_paused():
            await client.resume_flow_run(run_id)
    except ObjectNotFound:
        return
