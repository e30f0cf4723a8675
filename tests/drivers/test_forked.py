"""Calls in child processes: cancelled, crashed, timed out, orphaned."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from qpuflow.domain.errors import Unavailable
from qpuflow.domain.job import IllegalTransition, JobState, check_transition
from qpuflow.drivers.forked import ForkedPool


@pytest_asyncio.fixture(loop_scope="session")
async def pool() -> AsyncIterator[ForkedPool]:
    pool = ForkedPool(size=2)
    yield pool
    pool.close()


async def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.01)


async def busy_child(pool: ForkedPool) -> tuple[asyncio.Task[None], int]:
    """A child that sleeps for ever, and its process id (the pool reuses the idle one)."""
    pid = await pool.run(os.getpid)
    task = asyncio.create_task(pool.run(time.sleep, 1000))
    await eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_SLEEPING)
    await asyncio.sleep(0)
    return task, pid


async def test_a_call_runs_in_another_process_that_is_kept(pool: ForkedPool) -> None:
    first, second = await pool.run(os.getpid), await pool.run(os.getpid)
    assert first == second != os.getpid()


async def test_what_the_function_raises_is_raised_here(pool: ForkedPool) -> None:
    with pytest.raises(ValueError, match="invalid literal") as caught:
        await pool.run(int, "x")
    assert "Traceback" in caught.value.__notes__[0]
    pid = await pool.run(os.getpid)
    with pytest.raises(SystemExit):
        await pool.run(sys.exit, 3)
    assert await pool.run(os.getpid) == pid, "an exception costs no process"


async def test_our_own_errors_arrive_as_what_they_were(pool: ForkedPool) -> None:
    with pytest.raises(IllegalTransition, match="A completed job cannot become running") as caught:
        await pool.run(check_transition, JobState.COMPLETED, JobState.RUNNING)
    assert caught.value.what == str(caught.value)


async def test_a_result_that_cannot_be_pickled_is_an_error_and_no_hang(pool: ForkedPool) -> None:
    with pytest.raises(TypeError, match="pickle"):
        await pool.run(threading.Lock)


async def test_cancelling_kills_that_child_and_no_neighbour(pool: ForkedPool) -> None:
    doomed, pid = await busy_child(pool)
    neighbour = asyncio.create_task(pool.run(time.sleep, 0.3))
    await asyncio.sleep(0.05)
    doomed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await doomed
    await eventually(lambda: not psutil.pid_exists(pid))
    await neighbour
    assert await pool.run(os.getpid) != pid


async def test_a_timeout_kills_the_child(pool: ForkedPool) -> None:
    pid = await pool.run(os.getpid)
    with pytest.raises(TimeoutError):
        await pool.run(time.sleep, 1000, timeout_seconds=0.05)
    await eventually(lambda: not psutil.pid_exists(pid))


@pytest.mark.parametrize(
    ("function", "argument", "words"),
    [
        (signal.raise_signal, signal.SIGSEGV, "died of SIGSEGV"),
        (signal.raise_signal, signal.SIGKILL, "memory"),
        (os._exit, 3, "exited with code 3"),
    ],
)
async def test_a_child_that_dies_says_how(
    pool: ForkedPool, function: Callable[[int], object], argument: int, words: str
) -> None:
    with pytest.raises(Unavailable, match=words):
        await pool.run(function, argument, timeout_seconds=20)
    assert await pool.run(os.getpid)


async def test_a_child_that_dies_idle_is_replaced(pool: ForkedPool) -> None:
    pid = await pool.run(os.getpid)
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not psutil.pid_exists(pid))
    assert await pool.run(os.getpid) != pid


async def test_a_fork_server_that_dies_is_replaced(pool: ForkedPool) -> None:
    task, pid = await busy_child(pool)
    server = psutil.Process(pid).parent()
    assert server is not None
    server.kill()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(task, 20)
    await eventually(lambda: not psutil.pid_exists(pid))
    assert await pool.run(os.getpid)


async def test_no_more_children_than_asked_for(pool: ForkedPool) -> None:
    pids = await asyncio.gather(*(pool.run(os.getpid) for _ in range(20)))
    assert len(set(pids)) <= 2


async def test_megabytes_go_both_ways(pool: ForkedPool) -> None:
    data = os.urandom(5_000_000)
    assert await pool.run(bytes, data) == data


async def test_closing_ends_busy_children_too(pool: ForkedPool) -> None:
    task, pid = await busy_child(pool)
    pool.close()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(task, 20)
    await eventually(lambda: not psutil.pid_exists(pid))
    assert await pool.run(os.getpid), "and the pool can be used again"


async def test_pools_come_and_go_but_imports_are_made_once(pool: ForkedPool) -> None:
    another = ForkedPool(size=1)
    child, server = await another.run(os.getpid), await another.run(os.getppid)
    another.close()
    assert await pool.run(os.getppid) == server
    await eventually(lambda: not psutil.pid_exists(child))


def test_the_pool_serves_one_event_loop_after_another() -> None:
    pool = ForkedPool(size=1)

    async def contended() -> list[int]:
        return await asyncio.gather(*(pool.run(os.getpid) for _ in range(3)))

    first, second = asyncio.run(contended()), asyncio.run(contended())
    pool.close()
    assert set(first) == set(second)


SCRIPT = """
import asyncio, os, threading, time
from qpuflow.drivers.forked import ForkedPool

print("started", flush=True)
threading.Thread(target=time.sleep, args=[1000], daemon=True).start()
pool = ForkedPool(size=2)

async def main():
    idle, busy = await asyncio.gather(pool.run(os.getpid), pool.run(os.getpid))
    asyncio.create_task(pool.run(sum, range(10**14)))
    print(os.getpid(), *{idle, busy, await pool.run(os.getppid)}, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


async def test_kill_minus_9_of_the_parent_leaves_no_process(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(SCRIPT)
    parent = await asyncio.create_subprocess_exec(
        sys.executable, script, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"started\n"
    words = await parent.stdout.readline()
    family = [int(pid) for pid in words.split()]
    assert len(family) == 4, "parent, two children, fork server: the script ran only once"
    assert all(psutil.pid_exists(pid) for pid in family)
    parent.kill()
    await parent.wait()
    await eventually(lambda: not any(psutil.pid_exists(pid) for pid in family))
