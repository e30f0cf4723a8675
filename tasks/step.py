"""How a step becomes a Prefect task."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from qpuflow.domain.errors import Refused, Unavailable
from qpuflow.tasks.work import Chunk

RETRY_DELAYS_SECONDS = (1.0, 3.0, 10.0, 30.0)

Step = Callable[[Chunk], Awaitable[Chunk]]


async def may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """A step repeats when something did not answer; every step asks the ledger what is true."""
    return _passes(await state.aresult(raise_on_failure=False))


def _passes(error: object) -> bool:
    return isinstance(error, Unavailable) and not isinstance(error, Refused)


async def unshown(one_step: Task[[Chunk], Any], chunk: Chunk) -> Chunk:
    """Take a step without a task run. Where it has to be repeated, Prefect does that, in one."""
    try:
        return await one_step.fn(chunk)
    except Unavailable as error:
        if not _passes(error):
            raise
        return await one_step(chunk)


def step(name: str) -> Callable[[Step], Task[[Chunk], Any]]:
    """A task named `name` that notes the step's seconds with each job that has no own.

    Nothing is cached or persisted by Prefect: the ledger is the one place that knows.
    """

    def decorate(function: Step) -> Task[[Chunk], Any]:
        @wraps(function)
        async def timed(chunk: Chunk) -> Chunk:
            began = time.perf_counter()
            after = await function(chunk)
            seconds = time.perf_counter() - began
            return after.updated(work.timed(name, seconds) for work in after.works)

        as_task = task(
            name=name.replace("_", "-"),
            retries=len(RETRY_DELAYS_SECONDS),
            retry_delay_seconds=list(RETRY_DELAYS_SECONDS),
            retry_condition_fn=may_pass,
            cache_policy=NO_CACHE,
            persist_result=False,
        )
        return as_task(timed)

    return decorate
