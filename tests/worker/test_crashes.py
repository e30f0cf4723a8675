"""Engines and workers that die, and what becomes of the runs they had."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import psutil

from tests.system.installation import eventually
from tests.worker.workers import Go, Site


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_when_an_engine_dies_its_runs_crash_at_once_and_the_next_run_has_another(
    new_site: Callable[[], Site],
) -> None:
    site = new_site()
    await site.create()
    async with site.worker():
        run = await site.start("waits_for", file="/never")
        await run.begun()
        os.kill(run.pids[0], signal.SIGKILL)
        assert "The engine died under it" in (await run.ends("Crashed", 5))["message"]
        after = await site.start("completes")
        await after.ends("Completed")
        assert after.pids != run.pids


async def test_a_run_that_waits_for_its_retry_is_not_forgotten_with_its_engine(
    new_site: Callable[[], Site],
) -> None:
    site = new_site()
    await site.create()
    async with site.worker():
        run = await site.start("fails_twice")
        await run.becomes("AwaitingRetry")
        os.kill(run.pids[0], signal.SIGKILL)
        assert "The engine died under it" in (await run.ends("Crashed", 5))["message"]


DEAF = """
from qpuflow.deployments.worker.worker import QpuWorker
QpuWorker._notice = lambda *event: None
"""


async def test_a_run_is_cancelled_though_no_event_told_of_it(new_site: Callable[[], Site]) -> None:
    site = new_site()
    await site.create()
    async with site.worker(first=DEAF):
        run = await site.start("waits_for", file="/never")
        await run.begun()
        await run.set_state("CANCELLING")
        await run.ends("Cancelled", 60)


async def test_a_suspended_run_leaves_though_no_event_told_of_it(
    new_site: Callable[[], Site],
) -> None:
    site = new_site()
    await site.create()
    async with site.worker(first=DEAF):
        run = await site.start("steps_until_suspended")
        await run.begun()
        await run.becomes("Running")
        await run.suspend()
        await run.begun(2)
        assert run.lines[-1][2] == "leaves"
        assert (await run.state())["name"] == "Suspended"


async def test_nothing_of_a_worker_outlives_it(new_site: Callable[[], Site]) -> None:
    site = new_site()
    await site.create()
    async with site.worker() as worker:
        run = await site.start("waits_for", file="/never")
        await run.begun()
        family = worker.descendants()
        assert run.pids[0] in family
        await worker.kill()

        async def gone() -> bool:
            return not any(alive(pid) for pid in family)

        await eventually(gone, f"some of {family} live on", 5)


async def test_a_worker_that_is_told_to_stop_ends_in_time_and_leaves_nothing(
    new_site: Callable[[], Site], go: Go
) -> None:
    site = new_site()
    await site.create()
    async with site.worker() as worker:
        run = await site.start("waits_for", file=go.file)
        await run.begun()
        family = worker.descendants()
        worker.process.send_signal(signal.SIGTERM)
        go()
        async with asyncio.timeout(20):
            assert await worker.process.wait() == 0
        await run.ends("Completed", 5)
        assert not any(alive(pid) for pid in family)
