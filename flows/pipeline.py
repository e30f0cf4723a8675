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
"""A chunk's six task runs cost Prefect's server 80 ms, more than the steps of a small job."""
STEPS = (transpile, book_slot, dispatch, wait, post_process, store)


class Pipeline:
    """transpile, book slot, dispatch, wait, post-process, store.

    Prefect shows a task run a step of the first chunk, and then of one chunk a second: what took
    longer than that is always seen. Every job is in the run's table and in the ledger's history.
    """

    def __init__(self, carrying: Carrying) -> None:
        self._carrying = carrying
        self._shown_at = float("-inf")

    async def run(self, jobs: Sequence[Job]) -> Chunk:
        """A job that fails on the way skips the rest; its neighbours do not notice."""
        chunk = Chunk(self._carrying, [Work(job) for job in jobs])
        is_shown = time.monotonic() - self._shown_at >= SHOW_EVERY_SECONDS
        if is_shown:
            self._shown_at = time.monotonic()
        for one_step in STEPS:
            chunk = await (shown if is_shown else unshown)(one_step, chunk)
        return chunk
