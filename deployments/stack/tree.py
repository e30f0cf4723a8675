"""Ending processes with everything they started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Sequence

import psutil

PATIENCE_SECONDS = 3.0
LOOK_SECONDS = 0.05
LEFTOVER_ROUNDS = 5


async def end(pid: int, stop_signal: signal.Signals, patience_seconds: float) -> None:
    """Let the process end itself and its own; ask and then kill what it leaves."""
    try:
        top = psutil.Process(pid)
        family = [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    _send(top.send_signal, stop_signal)
    await _gone([top], patience_seconds)
    await _end_all([process for process in family if process.is_running()])


async def end_strays(ours: Iterable[int]) -> None:
    """End our descendants that no living part of ours accounts for."""
    strays = [child for child in psutil.Process().children() if child.pid not in set(ours)]
    family = [process for stray in strays for process in (stray, *_children(stray))]
    await _end_all(family)
    reap_strays(ours)


async def end_leftovers(name: str, value: str) -> None:
    """End what an earlier stack left when it and its guard were killed together.

    Such processes carry `name` with `value` in their environment, and no parent of theirs is left.
    Some may have started others while they were ended: looked for until there are none.
    """
    for _ in range(LEFTOVER_ROUNDS):
        found = [process for process in psutil.process_iter() if _carries(process, name, value)]
        if not found:
            return
        await _end_all(found)


def reap_strays(ours: Iterable[int]) -> None:
    """Collect orphans that came to us and ended. `ours` are left to those who wait for them."""
    for child in psutil.Process().children():
        if child.pid not in set(ours) and _is_zombie(child):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, os.WNOHANG)


async def _end_all(family: Sequence[psutil.Process]) -> None:
    for process in family:
        _send(process.send_signal, signal.SIGTERM)
    await _gone(family, PATIENCE_SECONDS)
    for process in family:
        _send(process.send_signal, signal.SIGKILL)
    await _gone(family, PATIENCE_SECONDS)


async def _gone(family: Sequence[psutil.Process], patience_seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_seconds):
            while not all(map(_has_ended, family)):  # noqa: ASYNC110  (not our children)
                await asyncio.sleep(LOOK_SECONDS)


def _has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or _is_zombie(process)


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _carries(process: psutil.Process, name: str, value: str) -> bool:
    try:
        return process.environ().get(name) == value
    except psutil.Error:
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _send(send: Callable[[int], None], number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        send(number)
