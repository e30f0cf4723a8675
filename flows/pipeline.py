"""The way of a job: six steps, shared by every carrier."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from qpuflow.domain.job import Job
from qpuflow.tasks.book_slot import book_slot
from qpuflow.tasks.dispatch import dispatch
from qpuflow.tasks.post_process import post_process
from qpuflow.tasks.step import Taking, shown, unshown
from qpuflow.tasks.store import store
from qpuflow.tasks.transpile import transpile
from qpuflow.tasks.wait import wait
from qpuflow.tasks.work import Carrying, Chunk, Work

CHUNK_SIZE = 50
"""Jobs that take a step together."""
SHOW_EVERY_SECONDS = 1.0
SHOW_SMALL_EVERY_SECONDS = 10.0
"""A chunk's six task runs cost Prefect's server 80 ms, many times the steps of a small job."""
SMALL_SECONDS = 1.0
FINISH_SECONDS = 5.0
"""What a run that is ended takes at most to store what has been run."""
AT_THE_QPU = (transpile, book_slot, dispatch, wait)
AFTERWARDS = (post_process, store)


class Pipeline:
    """transpile, book slot, dispatch, wait, post-process, store: `async with Pipeline(...)`.

    A chunk is evaluated and stored while the next one is at the QPU. Prefect shows a task run a
    step of the first chunk, and then of one chunk a second; of one in ten seconds while a simulator
    has jobs that take less than a second. Every job is in the run's table and in the ledger's
    history.
    """

    def __init__(self, carrying: Carrying, stored: Callable[[Chunk], None]) -> None:
        self._carrying = carrying
        self._stored = stored
        self._shown_at = float("-inf")
        self._finishing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None:
            await self.finished()
        elif (finishing := self._finishing) is not None:
            await asyncio.wait([finishing], timeout=FINISH_SECONDS)
            finishing.cancel()
            await asyncio.gather(finishing, return_exceptions=True)

    @property
    def is_finishing(self) -> bool:
        return self._finishing is not None

    async def run(self, jobs: Sequence[Job]) -> Chunk:
        """Until the QPU is done with them. A job that fails on the way skips the rest; its
        neighbours do not notice.

        What is to be queued again is queued when it returns; only results may be stored later.
        """
        chunk = Chunk(self._carrying, [Work(job) for job in jobs])
        take = shown if self._is_time_to_show(jobs) else unshown
        for one_step in AT_THE_QPU:
            chunk = await take(one_step, chunk)
        await self.finished()
        self._finishing = asyncio.create_task(self._finish(chunk, take))
        if len(chunk.active) < len(chunk.works):
            await self.finished()
        return chunk

    async def finished(self) -> None:
        """All that was run is stored. Raises what kept it from that."""
        if (finishing := self._finishing) is not None:
            await asyncio.wait([finishing])
            self._finishing = None
            finishing.result()

    async def _finish(self, chunk: Chunk, take: Taking) -> None:
        for one_step in AFTERWARDS:
            chunk = await take(one_step, chunk)
        self._stored(chunk)

    def _is_time_to_show(self, jobs: Sequence[Job]) -> bool:
        pause = SHOW_SMALL_EVERY_SECONDS if self._are_small(jobs) else SHOW_EVERY_SECONDS
        is_time = time.monotonic() - self._shown_at >= pause
        if is_time:
            self._shown_at = time.monotonic()
        return is_time

    def _are_small(self, jobs: Sequence[Job]) -> bool:
        is_simulator = not self._carrying.qpu.device.outside_effects
        return is_simulator and sum(job.estimate_seconds for job in jobs) < SMALL_SECONDS
