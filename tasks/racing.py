"""Two compilers at the same time, under a budget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from qpuflow.domain.compilers import Compiler

T = TypeVar("T")

Contender = Callable[[Callable[[], None]], Awaitable[T]]
"""Is given what to call when it really begins, and not waits for a free process any more."""


@dataclass(frozen=True, slots=True)
class Run(Generic[T]):
    """What became of one contender: a value, an error, or, still at work when the budget ended,
    neither."""

    seconds: float
    value: T | None = None
    error: Exception | None = None


async def race(
    contenders: Mapping[Compiler, Contender[T]], budget_seconds: float
) -> dict[Compiler, Run[T]]:
    """All of them, or those that are done when the budget ends, but at least one with a value.

    The budget counts from when all have begun: neither the import of an SDK nor a wait for a free
    process is part of it. Who is late is cancelled.
    """
    begun = {name: asyncio.Event() for name in contenders}
    tasks = {
        asyncio.create_task(_timed(contender, begun[name])): name
        for name, contender in contenders.items()
    }
    pending = set(tasks)
    try:
        await asyncio.gather(*(event.wait() for event in begun.values()))
        began = time.perf_counter()
        done, pending = await asyncio.wait(tasks, timeout=budget_seconds)
        while pending and all(task.result().error for task in done):
            more, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        spent = time.perf_counter() - began
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {name: Run(spent) if task in pending else task.result() for task, name in tasks.items()}


async def _timed(contender: Contender[T], begun: asyncio.Event) -> Run[T]:
    began = time.perf_counter()

    def begin() -> None:
        nonlocal began
        began = time.perf_counter()
        begun.set()

    try:
        value = await contender(begin)
    except Exception as error:  # noqa: BLE001  one that breaks leaves it to the other
        return Run(time.perf_counter() - began, error=error)
    finally:
        begun.set()
    return Run(time.perf_counter() - began, value)
