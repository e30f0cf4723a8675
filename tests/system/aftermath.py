"""After a test that failed: what the stack's parts said last, and a stack as it was before.

Else one test that failed takes those after it along, and nobody can tell which was the first.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from qpuflow.client import connect
from qpuflow.domain.settings import Settings
from tests.system.installation import Installation, eventually

STACK = pytest.StashKey[Installation]()
"""The running stack, of a session that has one."""
ROOT = Path(__file__).parents[2]
LINES_OF_EACH, LETTERS_OF_EACH_LINE = 8, 200
CLEAR_SECONDS = 120.0
UNFINISHED = "SELECT id FROM jobs WHERE finished_at IS NULL"
ACTIVE = """
    SELECT id, starts_at < now() AS began FROM bookings
    WHERE state = 'active' AND source = 'qpuflow' AND ends_at > now()
"""
CARRYING = {"flows": {"name": {"any_": ["run-circuits", "run-batch"]}}}
NOT_ENDED = ["SCHEDULED", "PENDING", "RUNNING", "PAUSED"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    stack = item.config.stash.get(STACK, None)
    if report.failed and stack and "stack" in getattr(item, "fixturenames", ()):
        report.sections.append(("The stack's last words", last_words(stack.home / "logs")))
        report.sections.append(("Clearing up", clearing(stack.home)))
    return report


def last_words(logs: Path) -> str:
    return "\n".join(
        f"{log.name}:\n{_end_of(log)}" for log in sorted(logs.glob("*.log")) if log.stat().st_size
    )


def _end_of(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LINES_OF_EACH:]
    return "\n".join(line[:LETTERS_OF_EACH_LINE] for line in lines)


def clearing(home: Path) -> str:
    """Done in a process of its own: the test's may be at its end, or have a loop that hangs."""
    command = [sys.executable, "-m", __name__, str(home)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=CLEAR_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"It is not cleared after {CLEAR_SECONDS:g} s"
    return done.stderr[-2000:] if done.returncode else "Done"


async def clear(stack: Installation) -> None:
    """Every QPU open, nothing booked or paused, no job, no run."""
    for queue in await _queues(stack):
        await stack.prefect("PATCH", f"/work_queues/{queue}", {"is_paused": False})
    async with connect(Settings(home=stack.home, user="nobody", operator=True)) as connection:
        for row in await stack.rows(ACTIVE):
            end = connection.bookings.release if row["began"] else connection.bookings.cancel
            await end(row["id"])
        for row in await stack.rows("SELECT name FROM qpus WHERE control <> 'open'"):
            await connection.controls.resume(row["name"])
        for row in await stack.rows(UNFINISHED):
            await connection.cancel(row["id"])
    enough = {"state": {"type": "CANCELLING"}}
    for run in await _runs(stack):
        await stack.prefect("POST", f"/flow_runs/{run}/set_state", enough)

    async def at_rest() -> bool:
        return not (await stack.rows(UNFINISHED) or await _runs(stack))

    await eventually(at_rest, "jobs or runs do not end", CLEAR_SECONDS / 2)


async def _queues(stack: Installation) -> list[str]:
    found = await stack.prefect("POST", "/work_queues/filter", {})
    return [one["id"] for one in found if one["is_paused"]]


async def _runs(stack: Installation) -> list[str]:
    wanted = {**CARRYING, "flow_runs": {"state": {"type": {"any_": NOT_ENDED}}}}
    found = await stack.prefect("POST", "/flow_runs/filter", wanted)
    return [one["id"] for one in found if not one["auto_scheduled"]]


if __name__ == "__main__":
    asyncio.run(clear(Installation(Path(sys.argv[1]))))
