"""kill -9 of every part while jobs come in and run: nothing accepted is lost or charged twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from qpuflow.client import JobRequest, JobState, Program, connect
from qpuflow.domain.errors import QpuflowError, Unavailable
from qpuflow.domain.settings import Settings
from tests.system.installation import FINAL, Installation, eventually

BELL = """OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1];
c = measure q;"""
SLOW = "\n".join(
    [
        'OPENQASM 3.0; include "stdgates.inc"; qubit[14] q; bit[14] c;',
        *(f"h q[{i}]; t q[{i}];" for i in range(14)),
        "c[0] = measure q[0];",
        "if (c[0]) { x q[1]; }",
        *(f"cx q[{i}], q[{i + 1}]; rx(0.3) q[{i}];" for i in range(13)),
        "c = measure q;",
    ]
)
"""About a millisecond for each shot: the measurement in the middle forbids to sample."""

Kill = Callable[[Installation, str], Coroutine[Any, Any, None]]


def request(source: str, shots: int, key: str) -> JobRequest:
    programs = [Program(name="killed", source=source)]
    return JobRequest(programs=programs, qpu="aer", shots=shots, key=key)


async def submitted(stack: Installation, user: str, *requests: JobRequest) -> list[str]:
    """Their jobs. Asks again, with the same key, for as long as there is no answer."""
    settings = Settings(home=stack.home, user=user)

    async def all_of_them() -> list[str]:
        try:
            async with connect(settings) as connection:
                return [str((await connection.submit(one)).job_id) for one in requests]
        except Unavailable:
            return []

    return await eventually(all_of_them, "no answer to a submission", 60)


async def finished(stack: Installation, jobs: list[str]) -> list[str]:
    """Their states at the end, reached with the reaper's help."""

    async def done() -> bool:
        query = "SELECT count(*) FROM jobs WHERE id = ANY($1::uuid[]) AND finished_at IS NULL"
        return await stack.value(query, jobs) == 0

    for _ in range(6):
        try:
            await eventually(done, "jobs do not end", 12)
            break
        except AssertionError:
            await eventually(reaped(stack), "the reaper does not run", 60)
    rows = await stack.rows("SELECT id, state, reason FROM jobs WHERE id = ANY($1::uuid[])", jobs)
    assert len(rows) == len(jobs)
    return [f"{row['state']}: {row['reason']}" if row["reason"] else row["state"] for row in rows]


def reaped(stack: Installation) -> Callable[[], Coroutine[Any, Any, bool]]:
    async def try_to() -> bool:
        await stack.start("reap/system")
        return True

    return try_to


async def charged_once(stack: Installation, jobs: list[str]) -> None:
    """Each has one result, one charge, and became completed once."""
    for table in ("charges", "results"):
        rows = await stack.rows(
            f"SELECT job_id, count(*) FROM {table} WHERE job_id = ANY($1::uuid[]) GROUP BY job_id",
            jobs,
        )
        assert {str(row["job_id"]): row["count"] for row in rows} == dict.fromkeys(jobs, 1), table
    events = await stack.value(
        "SELECT count(*) FROM job_events WHERE job_id = ANY($1::uuid[]) AND to_state = 'completed'",
        jobs,
    )
    assert events == len(jobs)


async def prefect_agrees(stack: Installation, jobs: list[str]) -> None:
    """Every run that carried them has ended; one that did its work is shown as completed."""
    rows = await stack.rows(
        "SELECT DISTINCT c.flow_run_id, c.state FROM carriers c JOIN jobs j USING (batch_id) "
        "WHERE j.id = ANY($1::uuid[]) AND c.flow_run_id IS NOT NULL",
        jobs,
    )
    assert rows

    async def agree() -> bool:
        for row in rows:
            run = await stack.flow_run(str(row["flow_run_id"]))
            if run["state_type"] not in FINAL:
                return False
            if row["state"] == "done":
                assert run["state_type"] == "COMPLETED", run["state"]
        return True

    await eventually(agree, f"Prefect shows other states than the ledger: {rows}", 75)


async def kill_part(stack: Installation, name: str) -> None:
    part = next(part for part in stack.record.parts if part.name == name)
    assert part.pid
    os.kill(part.pid, signal.SIGKILL)

    async def is_back() -> bool:
        now = next(one for one in stack.record.parts if one.name == name)
        return now.restarts > part.restarts and now.phase == "ready"

    await eventually(is_back, f"{name} does not come back", 90)


async def kill_holder(stack: Installation, _: str) -> None:
    """The process in which a flow run of this moment executes."""

    async def held() -> list[dict[str, Any]]:
        return await stack.rows(
            "SELECT holder FROM carriers WHERE state = 'live' AND holder IS NOT NULL"
        )

    holders = await eventually(held, "nothing runs", 30)
    for pid in {int(row["holder"].split(":")[1]) for row in holders}:
        os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def stream(stack: Installation, user: str) -> AsyncGenerator[list[str]]:
    """Jobs that keep coming in during the block, one after the other."""
    jobs: list[str] = []
    enough = asyncio.Event()

    async def submit() -> None:
        while not enough.is_set() or len(jobs) < 5:
            quick = request(BELL, 50, f"{user}-{len(jobs)}")
            jobs.extend(await submitted(stack, user, quick))
            await asyncio.sleep(0.1)

    task = asyncio.create_task(submit())
    try:
        yield jobs
    finally:
        enough.set()
        await task


@pytest.mark.parametrize(
    ("victim", "kill"),
    [
        ("prefect-server", kill_part),
        ("postgres", kill_part),
        ("worker-aer", kill_part),
        ("flow-run", kill_holder),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_after_kill_9_every_accepted_job_finishes_once(
    stack: Installation, victim: str, kill: Kill
) -> None:
    user = f"killer-of-{victim}"
    slow = [request(SLOW, 800, f"{user}-slow-{i}") for i in range(4)]
    jobs = await submitted(stack, user, *slow)
    run = await stack.start(
        "run-circuits/aer",
        {"request": request(SLOW, 801, f"{user}-run").model_dump(mode="json") | {"user": user}},
    )

    async def at_work() -> bool:
        query = "SELECT count(*) FROM jobs WHERE id = ANY($1::uuid[]) AND state = 'waiting'"
        return await stack.value(query, jobs) > 0

    await eventually(at_work, "no job reaches the QPU", 60)
    async with stream(stack, user) as more:
        await kill(stack, victim)
    jobs += more
    by_run = await stack.rows("SELECT id FROM jobs WHERE key = $1", f"{user}-run")
    jobs += [str(row["id"]) for row in by_run]
    assert await finished(stack, jobs) == ["completed"] * len(jobs)
    await charged_once(stack, jobs)
    await prefect_agrees(stack, jobs)
    assert (await stack.ended(run, 75))["state_type"] in FINAL


async def running(stack: Installation, user: str, shots: int) -> tuple[str, str]:
    """A slow job at its QPU, of each call another, and the flow run that carries it."""
    (job,) = await submitted(stack, user, request(SLOW, shots, f"{user}-{uuid4()}"))

    async def at_work() -> list[dict[str, Any]]:
        return await stack.rows(
            "SELECT c.flow_run_id FROM carriers c JOIN jobs j USING (batch_id) "
            "WHERE j.id = $1 AND j.state = 'waiting' AND c.state = 'live'",
            job,
        )

    (row,) = await eventually(at_work, "the job does not reach its QPU", 60)
    return job, str(row["flow_run_id"])


async def test_cancelling_a_run_cancels_its_current_job_and_the_rest_travels_on(
    stack: Installation,
) -> None:
    current, run = await running(stack, "canceller", 200_000)
    rest = await submitted(
        stack, "canceller", *(request(BELL, 50, f"canceller-{i}") for i in range(3))
    )
    state = {"type": "CANCELLING", "message": "From the UI"}
    await stack.prefect("POST", f"/flow_runs/{run}/set_state", {"state": state})
    assert (await stack.ended(run))["state_type"] == "CANCELLED"
    assert await finished(stack, rest) == ["completed"] * 3
    assert (await finished(stack, [current]))[0].startswith(JobState.CANCELLED.value)
    await charged_once(stack, rest)
    assert not await stack.rows("SELECT 1 FROM charges WHERE job_id = $1", UUID(current))


async def test_a_job_under_which_too_many_carriers_died_fails_and_says_so(
    stack: Installation,
) -> None:
    job, run = await running(stack, "poisoner", 5000)
    await stack.rows("UPDATE jobs SET carriers_lost = 4 WHERE id = $1", UUID(job))
    await kill_holder(stack, "")
    (state,) = await finished(stack, [job])
    assert state == (
        "failed: Given up after 5 carriers; the last one: "
        "its flow run ended Crashed: The engine died under it"
    )

    async def dead_letter() -> bool:
        return (await stack.flow_run(run))["state_name"] == "DeadLetter"

    await eventually(dead_letter, "the run does not say so", 30)
    assert job[:8] in (await stack.flow_run(run))["state"]["message"]
    assert not await stack.rows("SELECT 1 FROM charges WHERE job_id = $1", UUID(job))


async def test_deleting_a_run_carries_its_jobs_in_another(stack: Installation) -> None:
    job, run = await running(stack, "deleter", 3000)
    await stack.prefect("DELETE", f"/flow_runs/{run}")
    await stack.start("reap/system")
    assert await finished(stack, [job]) == ["completed"]
    await charged_once(stack, [job])
    carriers = await stack.rows(
        "SELECT lost_because FROM carriers c JOIN jobs j USING (batch_id) "
        "WHERE j.id = $1 ORDER BY c.number",
        UUID(job),
    )
    assert len(carriers) >= 2
    assert carriers[0]["lost_because"] == "its flow run was deleted"


async def test_a_dead_prefect_server_refuses_no_job(stack: Installation) -> None:
    part = next(part for part in stack.record.parts if part.name == "prefect-server")
    assert part.pid
    os.kill(part.pid, signal.SIGKILL)
    settings = Settings(home=stack.home, user="undaunted")
    try:
        async with connect(settings) as connection:
            receipt = await connection.submit(request(BELL, 50, "undaunted"))
    except QpuflowError as error:
        raise AssertionError("refused for want of a Prefect server") from error
    jobs = [str(receipt.job_id)]
    assert await finished(stack, jobs) == ["completed"]
    await charged_once(stack, jobs)


async def test_after_kill_9_of_everything_the_next_start_goes_on(stack: Installation) -> None:
    jobs = await submitted(
        stack, "phoenix", *(request(SLOW, 1000, f"phoenix-{i}") for i in range(3))
    )
    slow, _ = await running(stack, "phoenix", 999)
    record = stack.record
    os.kill(record.guard.pid, signal.SIGKILL)
    os.kill(record.supervisor.pid, signal.SIGKILL)
    again = await stack.run("up", "--detach", "--port", 0)
    assert again.code == 0, again
    jobs.append(slow)
    assert await finished(stack, jobs) == ["completed"] * 4
    await charged_once(stack, jobs)
    await prefect_agrees(stack, jobs)
