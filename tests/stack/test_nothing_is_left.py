"""However a stack ends, no process of it remains, not even those that its parts started."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from qpuflow.deployments.stack import (
    Phase,
    Plan,
    running_stack,
    stack_status,
    start_detached,
    stop_stack,
)
from qpuflow.domain.endpoints import StackRecord, find_endpoints, record_file
from qpuflow.domain.errors import OperatorNeeded, Unavailable
from qpuflow.domain.settings import Settings
from tests.stack.stacks import NOWHERE, Heard, eventually, names_of, processes_of, small

STUBBORN = """
import subprocess
if __name__ == "__main__":
    command = "trap '' TERM; while true; do sleep 1; done"
    subprocess.Popen(["sh", "-c", command], start_new_session=True)
"""

FOREGROUND = """
import asyncio
from qpuflow.deployments.stack import Plan, run_stack
from qpuflow.domain.settings import Settings
plan = Plan(pools=(), bring_up="platform")
asyncio.run(run_stack(Settings(), plan, lambda event: print(event, flush=True)))
"""


@pytest.fixture
def with_orphan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Settings, Plan]:
    """A stack in which something leaves its session, loses its parent and ignores SIGTERM."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "stubborn.py").write_text(STUBBORN)
    monkeypatch.setenv("PYTHONPATH", str(modules))
    settings, plan = small(tmp_path / "home")
    return settings, plan.model_copy(update={"bring_up": "stubborn"})


async def started(settings: Settings, plan: Plan) -> StackRecord:
    await start_detached(settings, plan)
    record = stack_status(settings)
    assert record
    assert "sh" in names_of(settings.root)
    return record


async def nothing_is_left(settings: Settings, timeout_seconds: float = 20.0) -> None:
    def gone() -> bool:
        return not processes_of(settings.root)

    await eventually(gone, f"left: {processes_of(settings.root)}", timeout_seconds)
    assert not record_file(settings).exists()
    with pytest.raises(Unavailable):
        find_endpoints(settings.model_copy(update={"prefect_api_url": None}))


@pytest.mark.parametrize("victim", ["supervisor", "guard"])
async def test_after_kill_9_of_either(victim: str, with_orphan: tuple[Settings, Plan]) -> None:
    settings, plan = with_orphan
    record = await started(settings, plan)
    os.kill(getattr(record, victim).pid, signal.SIGKILL)
    await nothing_is_left(settings)


async def test_after_kill_9_of_both_no_part_runs_and_the_next_start_ends_the_rest(
    with_orphan: tuple[Settings, Plan],
) -> None:
    settings, plan = with_orphan
    record = await started(settings, plan)
    os.kill(record.guard.pid, signal.SIGSTOP)
    os.kill(record.supervisor.pid, signal.SIGKILL)
    os.kill(record.guard.pid, signal.SIGKILL)
    await eventually(
        lambda: names_of(settings.root) <= {"sh", "sleep"}, "a part outlives its parents"
    )
    async with running_stack(settings, plan.model_copy(update={"bring_up": None})):
        assert not names_of(settings.root) & {"sh", "sleep"}


async def test_after_down(with_orphan: tuple[Settings, Plan]) -> None:
    settings, plan = with_orphan
    await started(settings, plan)
    assert await stop_stack(settings)
    await nothing_is_left(settings, timeout_seconds=0.0)


async def test_after_down_with_a_supervisor_that_hangs(with_orphan: tuple[Settings, Plan]) -> None:
    settings, plan = with_orphan
    record = await started(settings, plan)
    os.kill(record.supervisor.pid, signal.SIGSTOP)
    assert await stop_stack(settings, timeout_seconds=0.5)
    await nothing_is_left(settings, timeout_seconds=0.0)


@pytest.mark.parametrize(
    ("number", "waits"),
    [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGKILL, False)],
    ids=["ctrl-c", "sigterm", "kill-9"],
)
async def test_after_the_end_of_a_stack_in_the_foreground(
    tmp_path: Path, number: signal.Signals, waits: bool
) -> None:
    environment = {**os.environ, "QPUFLOW_HOME": str(tmp_path), "QPUFLOW_PREFECT_API_URL": NOWHERE}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FOREGROUND),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout
    async with asyncio.timeout(20):
        while not (await process.stdout.readline()).startswith(b"stack ready"):
            pass
        process.send_signal(number)
        await process.wait()
    await nothing_is_left(Settings(home=tmp_path), timeout_seconds=0.0 if waits else 20.0)


async def test_after_a_block_that_raises(tmp_path: Path) -> None:
    settings, plan = small(tmp_path)
    heard = Heard()
    with pytest.raises(ZeroDivisionError):
        async with running_stack(settings, plan, heard):
            raise ZeroDivisionError
    await nothing_is_left(settings, timeout_seconds=0.0)
    assert heard.has("postgres", Phase.READY)
    assert heard.has("postgres", Phase.STOPPED)
    assert heard[-1].phase is Phase.STOPPED


async def test_after_a_part_that_cannot_start_which_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("if __name__ == '__main__': exit('the pool is too deep')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings, plan = small(tmp_path / "home")
    with pytest.raises(OperatorNeeded, match=r"bring-up does not start[\s\S]*the pool is too deep"):
        await start_detached(settings, plan.model_copy(update={"bring_up": "broken"}))
    await nothing_is_left(settings, timeout_seconds=0.0)


async def test_a_caller_learns_that_the_supervisor_was_killed(tmp_path: Path) -> None:
    async def kill_own_supervisor(settings: Settings, plan: Plan) -> None:
        async with running_stack(settings, plan) as stack:
            record = stack_status(settings)
            assert record
            psutil.Process(record.supervisor.pid).kill()
            await stack.ended

    settings, plan = small(tmp_path)
    with pytest.raises(Unavailable, match="was killed; everything it had started has been stopped"):
        await kill_own_supervisor(settings, plan)
    await nothing_is_left(settings, timeout_seconds=0.0)


@pytest.mark.parametrize("name", ["file/home", "file"])
async def test_a_home_that_cannot_be_written_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    settings, plan = small(tmp_path / name)
    with pytest.raises(OperatorNeeded, match=r"cannot be written to: .* QPUFLOW_HOME"):
        await start_detached(settings, plan)
