"""How a program is started so that it never outlives us."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from qpuflow.deployments.stack import launch
from qpuflow.deployments.stack.home import end_of
from qpuflow.deployments.stack.request import Request

LOOK_SECONDS = 0.05


class Running(Protocol):
    """A child of ours, however it was started."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    async def wait(self) -> int: ...


def dying_with_us(
    command: Sequence[str], stop_signal: signal.Signals, *, as_user: bool = False
) -> list[str]:
    """The same command, sent `stop_signal` by the kernel when the process that starts it dies."""
    identity = "as-user" if as_user else "as-is"
    script = str(Path(launch.__file__))
    return [sys.executable, "-I", "-S", script, str(int(stop_signal)), identity, *command]


async def spawn(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, **environment},
            stdin=DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
        )
    finally:
        os.close(descriptor)


class Adopted:
    """A process that a `Preloader` forked and left to us."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    @property
    def returncode(self) -> int | None:
        if self._code is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if ended else None
        return self._code

    async def wait(self) -> int:
        while (code := self.returncode) is None:  # noqa: ASYNC110  (asyncio did not start it)
            await asyncio.sleep(LOOK_SECONDS)
        return code


class Preloader:
    """Starts Python programs within milliseconds, from a process that has their imports."""

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._modules = modules
        self._environment = environment
        self._log = log
        self._process: Process | None = None

    @property
    def pids(self) -> list[int]:
        return [self._process.pid] if self._process else []

    async def warm_up(self) -> Process:
        """Begin with the imports; a preloader that died is replaced."""
        if self._process is None or self._process.returncode is not None:
            module = "qpuflow.deployments.stack.preload"
            with self._log.open("ab") as errors:
                self._process = await asyncio.create_subprocess_exec(
                    *dying_with_us([sys.executable, "-m", module, *self._modules], signal.SIGTERM),
                    env={**os.environ, **self._environment},
                    stdin=PIPE,
                    stdout=PIPE,
                    stderr=errors,
                )
        return self._process

    async def start(self, request: Request) -> Running:
        """Raises `OSError` when the preloader dies instead of answering."""
        process = await self.warm_up()
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{request.model_dump_json()}\n".encode())
        await process.stdin.drain()
        answer = await process.stdout.readline()
        if not answer:
            await process.wait()
            raise ConnectionResetError(f"The preloader died:\n{end_of(self._log)}")
        return Adopted(int(answer))

    async def stop(self) -> None:
        if self._process:
            assert self._process.stdin
            self._process.stdin.close()
            await self._process.wait()
