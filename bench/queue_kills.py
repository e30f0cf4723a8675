"""1,500 jobs on a QPU that writes every execution down, while its worker is killed."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Generator, Sequence
from uuid import UUID

import psutil

from bench.figures import Figure
from bench.installation import BELL, Installation, all_ended, family, request, worker
from qpuflow.blocks import PluginQpu
from qpuflow.client.connection import Connection, connect
from tests.tasks.journalled import NAME, JournalledQpu, package

JOBS = 1_500
KILLED_AT = (0.2, 0.5, 0.8)
"""Shares of the jobs that have ended when the worker is killed."""


async def executions(installation: Installation) -> list[Figure]:
    journal = installation.settings.root / "journal"
    site = installation.settings.root / "site"
    paths = package(site)
    with _importable(str(site)):
        await installation.add_qpu(NAME, PluginQpu(kind=NAME, settings={"journal": str(journal)}))
    async with connect(installation.acting_as("careful")) as connection:
        one = request(BELL, 10, NAME)
        jobs = [one.model_copy(update={"key": f"journalled-{i}"}) for i in range(JOBS)]
        ids = [(await connection.submit(job)).job_id for job in jobs]
        done = asyncio.create_task(all_ended(connection, ids))
        for share in KILLED_AT:
            async with worker(installation, NAME, PYTHONPATH=paths) as process:
                await _ended(connection, ids, share)
                for one_of_them in reversed(family(process.pid)):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        one_of_them.kill()
        async with worker(installation, NAME, PYTHONPATH=paths):
            await done
    return [
        Figure("executions_of_1500", len(JournalledQpu(journal).executions()), "", f"== {JOBS}")
    ]


@contextlib.contextmanager
def _importable(path: str) -> Generator[None]:
    sys.path.insert(0, path)
    try:
        yield
    finally:
        sys.path.remove(path)


async def _ended(connection: Connection, ids: Sequence[UUID], share: float) -> None:
    """Until so many of the jobs have."""
    while True:
        states = await connection.states(ids)
        if sum(state.is_final for state in states.values()) >= share * len(ids):
            return
        await asyncio.sleep(0.2)
