"""The way of a job: six steps, shared by every carrier."""

from __future__ import annotations

from collections.abc import Sequence

from qpuflow.domain.job import Job
from qpuflow.tasks.book_slot import book_slot
from qpuflow.tasks.dispatch import dispatch
from qpuflow.tasks.post_process import post_process
from qpuflow.tasks.store import store
from qpuflow.tasks.transpile import transpile
from qpuflow.tasks.wait import wait
from qpuflow.tasks.work import Carrying, Chunk, Work

CHUNK_SIZE = 50
"""Jobs that share a task run in each step. One for each job would be 13 ms of the server's time."""


async def run_steps(carrying: Carrying, jobs: Sequence[Job]) -> Chunk:
    """transpile, book slot, dispatch, wait, post-process, store.

    A job that fails on the way skips the rest; its neighbours do not notice.
    """
    chunk = Chunk(carrying, [Work(job) for job in jobs])
    for one_step in (transpile, book_slot, dispatch, wait, post_process, store):
        chunk = await one_step(chunk)
    return chunk
