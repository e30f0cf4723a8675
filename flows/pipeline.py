"""The way of a job: six steps, shared by every carrier."""

from __future__ import annotations

import time
from collections.abc import Sequence

from qpuflow.domain.job import Job
from qpuflow.tasks.book_slot import book_slot
from qpuflow.tasks.dispatch import dispatch
from qpuflow.tasks.post_process import post_process
from qpuflow.tasks.step import shown, unshown
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
STEPS = (transpile, book_slot, dispatch, wait, post_process, store)


class Pipeline:
    """transpile, book slot, dispatch, wait, post-process, store.

    Prefect shows a task run a step of the first chunk, and then of one chunk a second; of one in
    ten seconds while a simulator has jobs that take less than a second. Every job is in the run's
    table and in the ledger's history.
    """

    def __init__(self, carrying: Carrying) -> None:
        self._carrying = carrying
        self._shown_at = float("-inf")

    async def run(self, jobs: Sequence[Job]) -> Chunk:
        """A job that fails on the way skips the rest; its neighbours do not notice."""
        chunk = Chunk(self._carrying, [Work(job) for job in jobs])
        pause = SHOW_SMALL_EVERY_SECONDS if self._are_small(jobs) else SHOW_EVERY_SECONDS
        is_shown = time.monotonic() - self._shown_at >= pause
        if is_shown:
            self._shown_at = time.monotonic()
        for one_step in STEPS:
            chunk = await (shown if is_shown else unshown)(one_step, chunk)
        return chunk

    def _are_small(self, jobs: Sequence[Job]) -> bool:
        is_simulator = not self._carrying.qpu.device.outside_effects
        return is_simulator and sum(job.estimate_seconds for job in jobs) < SMALL_SECONDS
