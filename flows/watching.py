"""What wakes a carrier whose jobs the QPU has: a task for each, and no run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import ObjectNotFound

from qpuflow.domain.errors import QpuflowError, Unavailable
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


class Watcher:
    """That of one QPU, in its engine."""

    def __init__(self, shared: Resources, qpu: str) -> None:
        self._shared = shared
        self._qpu = qpu
        self._followed: dict[UUID, asyncio.Task[None]] = {}
        self._by: Driver | None = None
        """With which all of them are followed."""

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
            for task in self._followed.values():
                task.cancel()

    async def _look(self) -> None:
        async with self._shared.ledger.begin() as session:
            found = {one.carrier_id: one for one in await asleep.sleepers(session, self._qpu)}
            new = [one for one in found.values() if not self._follows(one.carrier_id)]
            tickets = await asleep.held(session, [one.batch_id for one in new])
        for carrier_id in self._followed.keys() - found.keys():
            self._followed.pop(carrier_id).cancel()
        for sleeper in found.values():
            if sleeper.is_wanted:
                await self._wake(sleeper)
        await self._follow_anew_if_changed()
        # One that waits for nothing but an operator's answer is left asleep.
        new = [one for one in new if tickets[one.batch_id] or not one.is_unapproved]
        driver = self._by = await self._driver() if new else self._by
        for sleeper in new:
            if driver is not None and not sleeper.is_wanted:
                follow = self._follow(sleeper, tickets[sleeper.batch_id], driver)
                self._followed[sleeper.carrier_id] = asyncio.create_task(follow)

    async def _follow_anew_if_changed(self) -> None:
        """A watch of a driver whose block was changed has credentials that may be gone."""
        if not self._followed or await self._driver() is self._by:
            return
        _log.info("The block of %s has changed: its waits go on with the new one", self._qpu)
        for task in self._followed.values():
            task.cancel()
        self._followed.clear()

    def _follows(self, carrier_id: UUID) -> bool:
        task = self._followed.get(carrier_id)
        return task is not None and not task.done()

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
                if _all_silent(watches):
                    raise Unavailable("The QPU does not answer")
            finally:
                for watch in watches:
                    watch.cancel()
            await self._wake(sleeper)
        except Exception as error:  # noqa: BLE001  whatever a driver raises, the job is there
            _log.warning("Carrier %s is watched again: %r", sleeper.carrier_id, error)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _wake(self, sleeper: Sleeper) -> None:
        async with prefect_client() as client:
            if not await _resume(client, sleeper.flow_run_id):
                return
        async with self._shared.ledger.begin() as session:
            await asleep.wake(session, sleeper, self._qpu)


def _all_silent(watches: Sequence[asyncio.Task[None]]) -> bool:
    """Of the watches that are over none has news. What else breaks is for the run to settle."""
    over = [watch for watch in watches if watch.done()]
    return bool(over) and all(isinstance(watch.exception(), Unavailable) for watch in over)


async def _ended(driver: Driver, held: Held) -> None:
    async for status in driver.watch(Ticket(held.remote_id, held.token, held.details)):
        if status.state.is_final:
            return


async def _resume(client: PrefectClient, run_id: UUID) -> bool:
    """False: it still sleeps. One that is resumed, ended or deleted already is left as it is."""
    try:
        run = await client.read_flow_run(run_id)
        if run.state is None or not run.state.is_paused():
            return True
        answer = await client.resume_flow_run(run_id)
    except ObjectNotFound:
        return True
    return answer.status is SetStateStatus.ACCEPT
