"""What a fake cloud accepted: queued, run one at a time in a thread, and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

from qpuflow.drivers.base import RemoteState
from qpuflow.drivers.fake_clouds.books import Books, Kind
from qpuflow.drivers.fake_clouds.weather import Weather

LOOK_SECONDS = 0.05


@dataclass
class Job:
    """`work` gives the result as the vendor would store it. Times are UTC."""

    handle: str
    request: dict[str, Any]
    work: Callable[[], Any] = lambda: None
    id: str = field(default_factory=lambda: str(uuid4()))
    state: RemoteState = RemoteState.QUEUED
    before: RemoteState = RemoteState.QUEUED
    """The state before the present one, for clouds that forget."""
    result: Any = None
    error: str | None = None
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = None
    ended_at: datetime | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced, at every change of state."""

    def move(self, state: RemoteState) -> None:
        self.before, self.state = self.state, state
        if state is RemoteState.RUNNING:
            self.started_at = self.clock()
        if state.is_final:
            self.ended_at = self.clock()
        self.changed.set()
        self.changed = asyncio.Event()


class Backlog:
    """Jobs by id. `queue_seconds` is how long each waits before it runs."""

    def __init__(self, books: Books, weather: Weather, queue_seconds: float = 0.0) -> None:
        self._books, self._weather = books, weather
        self.queue_seconds = queue_seconds
        self.is_open = True
        """While it is not, jobs are accepted and none begins."""
        self.jobs: dict[str, Job] = {}
        # Simulators are not made for two threads.
        self._machine = ThreadPoolExecutor(1, thread_name_prefix="fake-qpu")
        self._running: set[asyncio.Task[None]] = set()

    def accept(self, job: Job) -> Job:
        job.clock, job.created_at = self._weather.now, self._weather.now()
        self.jobs[job.id] = job
        self._books.write(Kind.SUBMITTED, job.id, job.handle)
        task = asyncio.create_task(self._run(job))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return job

    def cancel(self, job: Job) -> bool:
        """False when it was too late."""
        if job.state.is_final:
            return False
        job.move(RemoteState.CANCELLED)
        self._books.write(Kind.CANCELLED, job.id, job.handle)
        return True

    async def _run(self, job: Job) -> None:
        await asyncio.sleep(self.queue_seconds)
        while self._weather.is_offline or not self.is_open:  # noqa: ASYNC110  a test opens it, from its own thread
            await asyncio.sleep(LOOK_SECONDS)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._machine, partial(self._execute, job, loop))

    def _execute(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        """In the machine's thread: only now is it this job's turn."""
        if job.state is not RemoteState.QUEUED:
            return
        loop.call_soon_threadsafe(job.move, RemoteState.RUNNING)
        self._books.write(Kind.EXECUTED, job.id, job.handle)
        try:
            job.result = job.work()
        except Exception as error:  # noqa: BLE001  whatever the program does, the cloud lives on
            job.error = f"{type(error).__name__}: {error}"
        loop.call_soon_threadsafe(_finish, job)


def _finish(job: Job) -> None:
    if not job.state.is_final:
        job.move(RemoteState.FAILED if job.error else RemoteState.COMPLETED)
