"""Flows that do what Prefect lets flows do, and write down every time that they are started.

Copied beside the worker under test, as a package that users install.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from uuid import UUID

from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.exceptions import Abort
from prefect.flow_runs import apause_flow_run, asuspend_flow_run
from prefect.runtime import flow_run
from prefect.states import Cancelled
from pydantic import BaseModel

A_WHILE = 600


class Options(BaseModel):
    repeats: int


def note(journal: str, what: str = "") -> int:
    """One more line; how many there are."""
    with Path(journal).open("a", encoding="utf-8") as lines:
        lines.write(f"{time.monotonic()} {os.getpid()} {what}\n")
    return len(Path(journal).read_text(encoding="utf-8").splitlines())


def there(file: str) -> bool:
    return Path(file).exists()


@flow
async def completes(journal: str) -> None:
    note(journal)


@flow
def completes_without_async(journal: str) -> None:
    note(journal)


@flow
async def pauses(journal: str) -> None:
    note(journal, "before")
    await apause_flow_run(timeout=60, poll_interval=1)
    note(journal, "after")


@flow
async def suspends(journal: str) -> None:
    if note(journal) == 1:
        await asuspend_flow_run(timeout=600)


@task
async def small_step() -> None:
    await asyncio.sleep(0.1)


@task
async def long_step() -> None:
    await asyncio.sleep(3)


@flow
async def takes_steps(journal: str) -> None:
    note(journal)
    for step in (small_step, small_step, long_step):
        await step()


@flow
async def steps_until_suspended(journal: str) -> None:
    """Somebody suspends it from outside; Prefect ends it between two tasks."""
    if note(journal, "begins") > 1:
        return
    try:
        for _ in range(A_WHILE):
            await small_step()
    finally:
        note(journal, "leaves")


@flow
async def fails(journal: str) -> None:
    note(journal)
    raise ValueError("as it was told to")


@flow
async def exits(journal: str) -> None:
    note(journal)
    sys.exit(3)


@flow
async def is_ended_by_others(journal: str) -> None:
    """As when the server refuses what the run proposes next."""
    note(journal)
    async with get_client() as client:
        await client.set_flow_run_state(UUID(flow_run.get_id()), Cancelled(message="Not by me"))
    raise Abort("This run is over")


@flow(retries=2, retry_delay_seconds=2)
async def fails_twice(journal: str) -> None:
    if note(journal) < 3:
        raise ValueError("not yet")


@flow(timeout_seconds=1)
async def takes_too_long(journal: str) -> None:
    note(journal)
    await asyncio.sleep(A_WHILE)


@flow
async def wants_options(journal: str, options: Options) -> None:
    note(journal, str(options.repeats))


@flow
async def waits_for(journal: str, file: str) -> None:
    """Until the file is there."""
    note(journal)
    while not there(file):  # noqa: ASYNC110  a file tells nobody
        await asyncio.sleep(0.05)
    note(journal, "done")
