"""300 jobs of five users on a QPU that writes every execution down, while everything is killed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from qpuflow.client import JobRequest, Program
from tests.system.installation import Installation, eventually
from tests.system.own_worker import OwnWorker
from tests.system.test_kills import (
    BELL,
    charged_once,
    finished,
    kill_holder,
    kill_part,
    prefect_agrees,
    submitted,
)
from tests.tasks.journalled import NAME, JournalledQpu, package

USERS = 5
JOBS = 300
TAKES_SECONDS = 0.05
SAVE_BLOCK = """
import json, sys
from qpuflow.blocks import PluginQpu
PluginQpu(kind="{kind}", settings=json.loads(sys.argv[1])).save("{kind}", overwrite=True)
"""


@dataclass
class Victims:
    """What is killed, and comes back: the stack's parts by themselves, the worker by us."""

    stack: Installation
    worker: OwnWorker
    journal: Path

    async def kill_worker(self) -> None:
        await self.worker.kill()
        await self.worker.start()

    async def kill_engine(self) -> None:
        await kill_holder(self.stack, NAME)

    async def kill_server(self) -> None:
        await kill_part(self.stack, "prefect-server")

    async def kill_postgres(self) -> None:
        await kill_part(self.stack, "postgres")


@pytest.fixture
async def victims(stack: Installation, tmp_path: Path) -> AsyncGenerator[Victims]:
    environment = {"PYTHONPATH": package(tmp_path / "site")}
    api = environment | {"PREFECT_API_URL": stack.endpoints.prefect_api_url}
    settings = f'{{"journal": "{tmp_path / "journal"}", "takes": {TAKES_SECONDS}}}'
    saved = await stack.python(SAVE_BLOCK.format(kind=NAME), settings, environment=api)
    assert saved.code == 0, saved
    registered = await stack.run("register", f"plugin-qpu/{NAME}", environment=environment)
    assert registered.code == 0, registered
    command = ["worker", "start", "--type", "qpu", "--pool", NAME]
    worker = OwnWorker(stack, command, environment, tmp_path / "worker.log")
    await worker.start()
    yield Victims(stack, worker, tmp_path / "journal")
    await worker.stop()


def requests(numbers: range, user: int) -> list[JobRequest]:
    programs = [Program(name="bell", source=BELL)]
    return [
        JobRequest(programs=programs, qpu=NAME, shots=10, key=f"in-turn-{number}")
        for number in numbers
        if number % USERS == user
    ]


async def submit(stack: Installation, numbers: range) -> list[str]:
    """One job for each number, of the users by turns."""
    found = await asyncio.gather(
        *(submitted(stack, f"in-turn-{user}", *requests(numbers, user)) for user in range(USERS))
    )
    return [job for jobs in found for job in jobs]


async def unfinished(stack: Installation, jobs: list[str]) -> int:
    query = "SELECT count(*) FROM jobs WHERE id = ANY($1::uuid[]) AND finished_at IS NULL"
    return await stack.value(query, jobs)


async def one_ends(stack: Installation, jobs: list[str]) -> None:
    """One of the jobs, and others are left."""
    before = await unfinished(stack, jobs)

    async def one_has() -> bool:
        return await unfinished(stack, jobs) < before

    await eventually(one_has, "nothing ends", 90)
    assert await unfinished(stack, jobs), "all was done before the kill"


@pytest.mark.timeout(600)
async def test_300_jobs_run_once_and_are_charged_once_whatever_is_killed_on_the_way(
    victims: Victims,
) -> None:
    stack, jobs = victims.stack, list[str]()
    kills: list[Callable[[], Awaitable[None]]] = [
        victims.kill_worker,
        victims.kill_engine,
        victims.kill_server,
        victims.kill_postgres,
    ]
    each = JOBS // len(kills)
    for number, kill in enumerate(kills):
        # So many more before each: however fast the machine is, work is going on at every kill.
        jobs += await submit(stack, range(number * each, (number + 1) * each))
        await one_ends(stack, jobs)
        await kill()
    assert len(set(jobs)) == JOBS
    assert Counter(await finished(stack, jobs)) == {"completed": JOBS}
    executed = Counter(one["token"] for one in JournalledQpu(victims.journal).executions())
    assert set(executed.values()) == {1}
    assert len(executed) == JOBS
    await charged_once(stack, jobs)
    await prefect_agrees(stack, jobs)
    leased = "SELECT count(*) FROM leases WHERE qpu = $1 AND released_at IS NULL"
    assert await stack.value(leased, NAME) == 0
