"""The engine of the moment, and those before it that still end what they have begun.

Whatever a vendor's SDK leaks ends with its engine: after so many runs a new one takes over. It is
started first, so that no run waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

from qpuflow.deployments.worker.link import EngineLink
from qpuflow.deployments.worker.messages import Offer, Order


class Engines:
    """What one worker runs its flow runs in."""

    def __init__(self, start: Callable[[], EngineLink]) -> None:
        self._new = start
        self._current = start()
        self._retiring: set[EngineLink] = set()
        self._chores: set[asyncio.Task[None]] = set()
        self._renewing = False
        self._offered = Offer()

    @property
    def runs(self) -> int:
        """How many flow runs take a seat."""
        return len(self.at_work)

    @property
    def at_work(self) -> set[UUID]:
        return {run for link in self._links for run in link.at_work}

    @property
    def _links(self) -> tuple[EngineLink, ...]:
        return (self._current, *self._retiring)

    async def start(self) -> None:
        """Return when a run could begin at once."""
        await self._current.start()

    async def run(self, order: Order, renew_after: int | None = None) -> str | None:
        """Execute the order's flow run. What broke, or None when Prefect knows its state."""
        link = next((one for one in self._links if one.has(order.flow_run_id)), self._current)
        self.renew_if_due(renew_after, link.runs_begun + 1)
        return await link.run(order)

    def renew_if_due(self, renew_after: int | None, begun: int | None = None) -> None:
        """Have a new engine take over from one that has begun so many runs."""
        begun = self._current.runs_begun if begun is None else begun
        if renew_after and begun >= renew_after and not self._renewing:
            self._renewing = True
            self._start(self._renew())

    async def admit(self, flow_run_id: UUID, run_as: str | None) -> None:
        """Have a run become a job. When it may start, the worker is told."""
        await self._current.admit(flow_run_id, run_as)

    def offer(self, offer: Offer) -> None:
        """What there may be at once, from now on."""
        self._offered = offer
        self._current.offer(offer)

    def gone(self, flow_run_id: UUID) -> None:
        """The run that was to be next is not there to be started."""
        self._current.gone(flow_run_id)

    def call_off(self, flow_run_id: UUID) -> None:
        """It was cancelled while it waited, and must not begin."""
        for link in self._links:
            link.call_off(flow_run_id)

    def cancel(self, flow_run_id: UUID) -> bool:
        """False: the run is not here."""
        return any(link.cancel(flow_run_id) for link in self._links)

    def suspend(self, flow_run_id: UUID) -> None:
        """Nothing happens where the run is not here."""
        for link in self._links:
            link.suspend(flow_run_id)

    async def take_back(self) -> None:
        await self._current.take_back()

    async def stop(self) -> None:
        await asyncio.gather(*(link.stop() for link in self._links))
        for chore in self._chores:
            chore.cancel()

    async def _renew(self) -> None:
        old, new = self._current, self._new()
        try:
            await new.start()
            self._current = new
            new.offer(self._offered)
        finally:
            self._renewing = False
        self._retiring.add(old)
        try:
            await old.retire()
        finally:
            self._retiring.discard(old)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        chore = asyncio.create_task(work)
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)
