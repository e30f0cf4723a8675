"""Stacks small enough to start often, and what is left of one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import psutil

from qpuflow.deployments.stack import Event, Phase, Plan
from qpuflow.domain.settings import Settings

PLATFORM = "platform"
"""A module that prints something and exits with 0: a bring-up that does nothing."""

NOWHERE = "http://127.0.0.1:9/api"


def small(home: Path) -> tuple[Settings, Plan]:
    """PostgreSQL only: as if Prefect ran elsewhere."""
    return Settings(home=home, prefect_api_url=NOWHERE), Plan(pools=(), bring_up=PLATFORM)


def processes_of(home: Path) -> list[psutil.Process]:
    """All that carry the home in their environment or work inside it."""
    return [
        process for process in psutil.process_iter() if process.pid > 2 and _belongs(process, home)
    ]


def names_of(home: Path) -> set[str]:
    """What they are called; one that ends while it is asked isn't one of them."""
    names: set[str] = set()
    for process in processes_of(home):
        with contextlib.suppress(psutil.NoSuchProcess):
            names.add(process.name())
    return names


def commands_of(home: Path) -> list[str]:
    """What they were started with; one that ends while it is asked isn't one of them."""
    commands: list[str] = []
    for process in processes_of(home):
        with contextlib.suppress(psutil.NoSuchProcess):
            commands.append(" ".join(process.cmdline()))
    return commands


def _belongs(process: psutil.Process, home: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE or process == psutil.Process():
            return False
        inside = Path(process.cwd()).is_relative_to(home)
        return inside or process.environ().get("QPUFLOW_HOME") == str(home)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


async def eventually(
    condition: Callable[[], object], what: str, timeout_seconds: float = 30.0
) -> None:
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.05)


class Heard(list[Event]):
    """An announcer that remembers."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def has(self, part: str, phase: Phase) -> bool:
        return any(event.part == part and event.phase is phase for event in self)
