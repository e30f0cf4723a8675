"""How a step becomes a Prefect task."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from qpuflow.domain.errors import Refused, Unavailable
from qpuflow.domain.steps import StepRules
from qpuflow.tasks.work import Chunk

Step = Callable[[Chunk], Awaitable[Chunk]]
Taking = Callable[[Task[[Chunk], Any], Chunk], Awaitable[Chunk]]


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
        return await shown(one_step, chunk)


async def shown(one_step: Task[[Chunk], Any], chunk: Chunk) -> Chunk:
    """Take a step as a task run, repeated as the QPU's rules say."""
    delays = list(_rules(one_step.name, chunk).retry_delays_seconds)
    if delays != one_step.retry_delay_seconds:
        one_step = one_step.with_options(retries=len(delays), retry_delay_seconds=delays)
    return await one_step(chunk)


def _rules(task_name: str, chunk: Chunk) -> StepRules:
    return chunk.carrying.settings.steps.of(task_name.replace("-", "_"))


async def _in_time(name: str, function: Step, chunk: Chunk) -> Chunk:
    limit = _rules(name, chunk).timeout_seconds
    time_out = asyncio.timeout(limit)
    try:
        async with time_out:
            return await function(chunk)
    except TimeoutError as error:
        if not time_out.expired():
            raise
        raise Unavailable(f"The step {name} took more than {limit:g} s") from error


def step(name: str) -> Callable[[Step], Task[[Chunk], Any]]:
    """A task named `name` that notes the step's seconds with each job that has no own.

    Nothing is cached or persisted by Prefect: the ledger is the one place that knows.
    """

    usual = StepRules()

    def decorate(function: Step) -> Task[[Chunk], Any]:
        @wraps(function)
        async def timed(chunk: Chunk) -> Chunk:
            began = time.perf_counter()
            after = await _in_time(name, function, chunk)
            seconds = time.perf_counter() - began
            return after.updated(work.timed(name, seconds) for work in after.works)

        as_task = task(
            name=name.replace("_", "-"),
            retries=len(usual.retry_delays_seconds),
            retry_delay_seconds=list(usual.retry_delays_seconds),
            retry_condition_fn=may_pass,
            cache_policy=NO_CACHE,
            persist_result=False,
        )
        return as_task(timed)

    return decorate
