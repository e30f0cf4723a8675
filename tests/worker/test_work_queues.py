"""Pausing a work queue in Prefect holds its runs, and nobody else's."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.examples.expectations import EXAMPLES
from tests.system.installation import Installation, eventually
from tests.system.test_kills import BELL
from tests.worker.test_waiting import run_of

pytestmark = pytest.mark.timeout(400)
QPU = "aer-heavyhex"
POOL = f"/work_pools/{QPU}"


@asynccontextmanager
async def queue(stack: Installation, name: str) -> AsyncGenerator[str]:
    await stack.prefect("POST", f"{POOL}/queues", {"name": name})
    yield name
    await stack.prefect("DELETE", f"{POOL}/queues/{name}")


async def set_paused(stack: Installation, name: str, *, paused: bool) -> None:
    await stack.prefect("PATCH", f"{POOL}/queues/{name}", {"is_paused": paused})


async def start(stack: Installation, user: str, queue: str) -> str:
    request = {"programs": [{"source": BELL}], "shots": 10, "user": user}
    return await stack.start(f"run-circuits/{QPU}", {"request": request}, work_queue_name=queue)


async def says(stack: Installation, run: str, words: str) -> None:
    async def so() -> bool:
        return words in ((await stack.flow_run(run))["state"]["message"] or "")

    await eventually(so, f"the run does not say {words!r}", 60)


async def test_runs_in_a_paused_work_queue_wait_and_others_do_not(stack: Installation) -> None:
    async with queue(stack, "night") as night:
        await set_paused(stack, night, paused=True)
        held = await start(stack, "owl", night)
        other = await start(stack, "owl", "default")
        assert (await stack.ended(other))["state_type"] == "COMPLETED"
        assert (await stack.flow_run(held))["state_type"] == "SCHEDULED"
        await set_paused(stack, night, paused=False)
        assert (await stack.ended(held))["state_type"] == "COMPLETED"


async def test_a_job_that_waits_already_is_held_too_and_its_user_s_other_jobs_are_not(
    stack: Installation,
) -> None:
    async with queue(stack, "late") as late:
        assert (await stack.run("--operator", "pause", QPU, "Cabling")).code == 0
        held = await start(stack, "owl", late)
        await says(stack, held, "Cabling")
        await set_paused(stack, late, paused=True)
        await says(stack, held, "Its work queue is paused in Prefect")
        other = await start(stack, "owl", "default")
        assert (await stack.run("--operator", "resume", QPU)).code == 0
        assert (await stack.ended(other))["state_type"] == "COMPLETED"
        assert (await stack.flow_run(held))["state_type"] == "SCHEDULED"
        await set_paused(stack, late, paused=False)
        assert (await stack.ended(held))["state_type"] == "COMPLETED"


async def test_submitted_jobs_wait_while_the_queue_of_their_runs_is_paused(
    stack: Installation,
) -> None:
    async with queue(stack, "day") as day:
        assert (await stack.run("--operator", "pause", QPU, "Cabling")).code == 0
        job = (await stack.run("submit", EXAMPLES / "bell.qasm", "--qpu", QPU)).stdout.strip()
        run = await run_of(stack, job)
        await set_paused(stack, "default", paused=True)
        await says(stack, run, "Its work queue is paused in Prefect")
        other = await start(stack, "alice", day)
        assert (await stack.run("--operator", "resume", QPU)).code == 0
        assert (await stack.ended(other))["state_type"] == "COMPLETED"
        assert (await stack.flow_run(run))["state_name"] == "Queued"
        await set_paused(stack, "default", paused=False)
        assert (await stack.run("result", job, "--wait")).code == 0
