"""The example of a session: killed in the middle, it goes on where it was."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from uuid import uuid4

import pytest

from tests.examples.expectations import EXAMPLES
from tests.system.installation import Installation

EVALUATIONS = 20
KILLED_AFTER = 6


async def start(stack: Installation, key: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLES / "vqe_session.py"), key),
        *("--evaluations", str(EVALUATIONS)),
        env={**os.environ, "QPUFLOW_HOME": str(stack.home), "QPUFLOW_USER": "vera"},
        stdout=PIPE,
    )


async def lines(process: Process, at_most: int | None = None) -> list[str]:
    assert process.stdout is not None
    found: list[str] = []
    while len(found) != at_most and (line := await process.stdout.readline()):
        found.append(line.decode().strip())
    return found


@pytest.mark.timeout(300)
async def test_after_kill_9_the_optimiser_goes_on_and_nothing_runs_twice(
    stack: Installation,
) -> None:
    key = f"h2-{uuid4().hex}"
    first = await start(stack, key)
    before = await lines(first, KILLED_AFTER)
    first.kill()
    await first.wait()
    (done,) = await stack.rows("SELECT count(*) FROM jobs WHERE key LIKE $1", f"{key}/%")
    assert KILLED_AFTER <= done["count"] < EVALUATIONS

    second = await start(stack, key)
    after = await lines(second)
    assert await second.wait() == 0
    assert after[:KILLED_AFTER] == before, "it took other steps"
    lowest = re.fullmatch(r"Lowest: (-\d\.\d+) hartree after (\d+) evaluations", after[-1])
    assert lowest, after
    assert float(lowest[1]) < -1.6
    assert int(lowest[2]) == EVALUATIONS

    jobs = await stack.rows(
        "SELECT j.key, count(i.token) AS executions, count(c.job_id) AS charges FROM jobs j "
        "LEFT JOIN intents i ON i.job_id = j.id LEFT JOIN charges c ON c.job_id = j.id "
        "WHERE j.key LIKE $1 GROUP BY j.key",
        f"{key}/%",
    )
    assert {job["key"] for job in jobs} == {f"{key}/{number}" for number in range(EVALUATIONS)}
    assert [job for job in jobs if (job["executions"], job["charges"]) != (1, 1)] == []
