"""Work that a driver runs in processes of its own: nothing outside this process knows of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from qpuflow.domain.errors import Conflict, NotFound
from qpuflow.drivers.base import Outcome, RemoteState, RemoteStatus, Ticket
from qpuflow.drivers.forked import ForkedPool

KEPT_RUNS = 100
"""Finished runs remembered for a late `fetch`; older ones are LOST, and may be run again."""


@dataclass(frozen=True, slots=True)
class _Run:
    ticket: Ticket
    started: asyncio.Event
    task: asyncio.Task[Outcome]

    def status(self) -> RemoteStatus:
        if not self.task.done():
            running = self.started.is_set()
            return RemoteStatus(RemoteState.RUNNING if running else RemoteState.QUEUED)
        if self.task.cancelled():
            return RemoteStatus(RemoteState.CANCELLED)
        if error := self.task.exception():
            return RemoteStatus(RemoteState.FAILED, str(error))
        return RemoteStatus(RemoteState.COMPLETED)


class OwnRuns:
    """Tickets of one simulated QPU, used from one event loop. `lanes` runs go on at once."""

    def __init__(self, qpu: str, kind: str, lanes: int) -> None:
        self._qpu = qpu
        self._kind = kind
        self._lanes = asyncio.Semaphore(lanes)
        self._runs: dict[str, _Run] = {}

    def start(self, token: str, work: Callable[[], Awaitable[Outcome]]) -> Ticket:
        """Cancelling the work must stop it."""
        ticket = Ticket(id=f"{self._kind}-{uuid4()}", token=token)
        started = asyncio.Event()
        task = asyncio.create_task(self._run(work, started), name=ticket.id)
        self._forget_old_runs()
        self._runs[token] = _Run(ticket, started, task)
        return ticket

    def find(self, token: str) -> Ticket | None:
        run = self._runs.get(token)
        return run and run.ticket

    async def watch(self, ticket: Ticket) -> AsyncGenerator[RemoteStatus]:
        run = self._runs.get(ticket.token)
        if run is None:
            yield RemoteStatus(RemoteState.LOST, "This process does not know the ticket.")
            return
        if run.status().state is RemoteState.QUEUED:
            yield run.status()
            await _first(run.started.wait(), run.task)
        if not run.task.done():
            yield run.status()
            await asyncio.wait([run.task])
        yield run.status()

    def outcome(self, ticket: Ticket) -> Outcome:
        run = self._runs.get(ticket.token)
        if run is None:
            raise NotFound(f"Ticket {ticket.id} is unknown", where=self._qpu)
        status = run.status()
        if status.state is not RemoteState.COMPLETED:
            raise Conflict(
                f"Ticket {ticket.id} is {status.state}: {status.message or 'no result'}",
                where=self._qpu,
            )
        return run.task.result()

    async def cancel(self, ticket: Ticket) -> None:
        if run := self._runs.get(ticket.token):
            run.task.cancel()
            await asyncio.wait([run.task])

    async def close(self) -> None:
        tasks = [run.task for run in self._runs.values() if not run.task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, work: Callable[[], Awaitable[Outcome]], started: asyncio.Event) -> Outcome:
        async with self._lanes:
            started.set()
            return await work()

    def _forget_old_runs(self) -> None:
        finished = [token for token, run in self._runs.items() if run.task.done()]
        for token in finished[: max(0, len(finished) - KEPT_RUNS + 1)]:
            del self._runs[token]


class RunsHere:
    """The part of a driver that says what became of its own runs, made by children of its pool."""

    _runs: OwnRuns
    _pool: ForkedPool

    async def find(self, token: str) -> Ticket | None:
        return self._runs.find(token)

    def watch(self, ticket: Ticket) -> AsyncIterator[RemoteStatus]:
        return self._runs.watch(ticket)

    async def fetch(self, ticket: Ticket) -> Outcome:
        return self._runs.outcome(ticket)

    async def cancel(self, ticket: Ticket) -> None:
        await self._runs.cancel(ticket)

    async def close(self) -> None:
        await self._runs.close()
        self._pool.close()


async def _first(event: Any, task: asyncio.Task[Any]) -> None:
    """Return when either is done; the event's waiter is dropped, the task left alone."""
    waiter = asyncio.ensure_future(event)
    try:
        await asyncio.wait([waiter, task], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
