"""Starting, watching and stopping the stack of one home, from any process of its owner."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from qpuflow.deployments.stack import guard
from qpuflow.deployments.stack.events import DETACH, STACK, Announce, Event, Phase
from qpuflow.deployments.stack.home import (
    end_of,
    is_locked,
    lock_home,
    logs,
    open_home,
    prefect_home,
    rotate,
)
from qpuflow.deployments.stack.plan import FOREIGN, Plan, environment
from qpuflow.deployments.stack.ports import claim_port
from qpuflow.domain.endpoints import (
    Endpoints,
    StackRecord,
    find_endpoints,
    find_record,
    record_file,
)
from qpuflow.domain.errors import OperatorNeeded, Unavailable
from qpuflow.domain.settings import Settings

LOOK_SECONDS = 0.05
KILL_SECONDS = 15.0


@dataclass
class RunningStack:
    endpoints: Endpoints
    ended: asyncio.Task[None]
    """Done when the stack is gone; raises when it failed."""


def quiet(_: Event) -> None:
    """Announce nothing."""


async def run_stack(settings: Settings, plan: Plan, announce: Announce = quiet) -> None:
    """Run the stack until it is stopped by somebody else, or this call is cancelled (Ctrl-C)."""
    async with running_stack(settings, plan, announce) as stack:
        await asyncio.shield(stack.ended)


@asynccontextmanager
async def running_stack(
    settings: Settings, plan: Plan, announce: Announce = quiet
) -> AsyncGenerator[RunningStack]:
    """A stack for the length of the block. It also stops when this process dies."""
    process = await _launch(settings, plan)
    try:
        await _until_ready(process, _log(settings), announce)
        stack = RunningStack(
            find_endpoints(settings), asyncio.create_task(_ended(process, announce))
        )
    except BaseException:
        await asyncio.shield(_ended_quietly(process, announce))
        raise
    try:
        yield stack
    finally:
        _link(process).close()
        await asyncio.shield(stack.ended)


async def start_detached(settings: Settings, plan: Plan, announce: Announce = quiet) -> Endpoints:
    """Start a stack that survives this process and its terminal; return once it is ready."""
    process = await _launch(settings, plan)
    try:
        await _until_ready(process, _log(settings), announce)
    except BaseException:
        await asyncio.shield(_ended_quietly(process, announce))
        raise
    _link(process).write(DETACH)
    _link(process).close()
    await _link(process).wait_closed()
    return find_endpoints(settings)


async def stop_stack(settings: Settings, timeout_seconds: float = 60.0) -> bool:
    """Stop the stack of this home and wait until all of it is gone. False: there was none."""
    record = stack_status(settings)
    if record is None:
        return False
    _signal(record, signal.SIGTERM)
    if not await _gone(settings, record, timeout_seconds):
        # The guard ends what the supervisor could not.
        _signal(record, signal.SIGKILL)
        if not await _gone(settings, record, KILL_SECONDS):
            raise OperatorNeeded(
                f"The stack for {settings.root} does not stop",
                remedy=f"Look at processes {record.supervisor.pid} and {record.guard.pid}.",
            )
    return True


def stack_status(settings: Settings) -> StackRecord | None:
    """What runs for this home, with the phase of each part; None when nothing does."""
    return find_record(settings)


async def _launch(settings: Settings, plan: Plan) -> Process:
    open_home(settings)
    lock = lock_home(settings)
    try:
        if not settings.prefect_api_url:
            settings = settings.model_copy(update={"port": claim_port(settings.port)})
        return await _start_guard(settings, plan, lock)
    finally:
        os.close(lock)


async def _start_guard(settings: Settings, plan: Plan, lock: int) -> Process:
    log = _log(settings)
    rotate(log)
    supervisor = [sys.executable, "-m", "qpuflow.deployments.stack.supervisor"]
    inherited = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    with log.open("ab") as errors:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(Path(guard.__file__))),
            *(str(lock), str(record_file(settings)), *supervisor, plan.model_dump_json()),
            env={**inherited, **environment(settings)},
            cwd=prefect_home(settings),
            pass_fds=(lock,),
            start_new_session=True,
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
        )


async def _until_ready(process: Process, log: Path, announce: Announce) -> None:
    async for event in _events(process):
        announce(event)
        if event.part == STACK and event.phase is Phase.READY:
            return
        if event.failure:
            raise event.failure.error()
    raise OperatorNeeded(
        f"The stack ended before it was ready. The end of its log:\n{end_of(log)}\n",
        where=str(log),
    )


async def _ended(process: Process, announce: Announce) -> None:
    """Relay events to the last, and until the guard is gone too."""
    failure = None
    async for event in _events(process):
        announce(event)
        failure = event.failure or failure
    code = await process.wait()
    if failure:
        raise failure.error()
    if code:
        raise Unavailable(
            "The supervisor was killed; everything it had started has been stopped",
            remedy="Start it again; nothing that was accepted is lost.",
        )


async def _ended_quietly(process: Process, announce: Announce) -> None:
    _link(process).close()
    with contextlib.suppress(OperatorNeeded, Unavailable):
        await _ended(process, announce)


async def _events(process: Process) -> AsyncGenerator[Event]:
    assert process.stdout
    async for line in process.stdout:
        yield Event.model_validate_json(line)


def _log(settings: Settings) -> Path:
    return logs(settings) / "supervisor.log"


def _link(process: Process) -> asyncio.StreamWriter:
    assert process.stdin
    return process.stdin


def _signal(record: StackRecord, number: signal.Signals) -> None:
    if record.supervisor.is_alive:
        os.kill(record.supervisor.pid, number)


async def _gone(settings: Settings, record: StackRecord, timeout_seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds):
            while record.is_alive or is_locked(settings):  # noqa: ASYNC110  (other processes)
                await asyncio.sleep(LOOK_SECONDS)
            return True
    return False
