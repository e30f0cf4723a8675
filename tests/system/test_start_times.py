"""A job with an earliest start waits for it, and one with a latest start does not wait longer.

Both are an hour off, and moved near once the test has seen what it wants to see before.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.examples.expectations import EXAMPLES
from tests.system.installation import Installation
from tests.system.test_kills import BELL, request
from tests.worker.test_waiting import run_of, says

QPU = "aer-heavyhex"
SUBMIT = ("submit", EXAMPLES / "bell.qasm", "--qpu", QPU)
HELD = "SELECT count(*) FROM carriers JOIN jobs j USING (batch_id) WHERE j.id = $1 AND holder <> ''"
NEAR = """
WITH one AS (
    UPDATE jobs SET not_before = now() + interval '3 seconds' WHERE id = $1
    RETURNING batch_id, not_before
) UPDATE batches b SET not_before = one.not_before FROM one WHERE b.id = one.batch_id
RETURNING b.not_before
"""
PASS = "UPDATE jobs SET start_by = now() WHERE id = ANY($1::uuid[]) RETURNING id"
CALLS = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from qpuflow import client
from qpuflow.domain.request import JobRequest, Program
from qpuflow.flows.run_circuits import run_circuits

file, qpu = Path(sys.argv[1]), sys.argv[2]
due = datetime.now(UTC) + timedelta(seconds=8)
job = client.submit(file, qpu=qpu, not_before=due)
request = JobRequest(programs=[Program(source=file.read_text())], qpu=qpu, not_before=due)
report = asyncio.run(run_circuits(request))
job.result()
print(due.isoformat(), job.id, report.job_id)
"""


async def test_a_call_from_python_and_one_of_the_flow_wait_for_their_time(
    stack: Installation,
) -> None:
    environment = {"PREFECT_API_URL": stack.endpoints.prefect_api_url}
    called = await stack.python(CALLS, EXAMPLES / "bell.qasm", QPU, environment=environment)
    assert called.code == 0, called.stderr
    due, *jobs = called.stdout.splitlines()[-1].split()
    for job in jobs:
        begun = await stack.value("SELECT created_at FROM intents WHERE job_id = $1", job)
        assert begun >= datetime.fromisoformat(due)


async def test_a_job_for_later_waits_without_a_seat_and_starts_when_its_time_comes(
    stack: Installation,
) -> None:
    job = (await stack.run(*SUBMIT, "--not-before", "+1h")).stdout.strip()
    told = (await stack.run("status", job, "--json")).json
    due = datetime.fromisoformat(told["not_before"])
    assert told["waits_because"] == f"It is not to start before {due:%Y-%m-%d %H:%M:%S UTC}"
    assert told["expected_start_at"] == told["not_before"]
    await says(stack, await run_of(stack, job), "not to start before")
    assert (await stack.run(*SUBMIT, "--wait")).code == 0, "the same user's job for now"
    assert await stack.value(HELD, job) == 0
    due = await stack.value(NEAR, job)
    assert (await stack.run("result", job, "--wait")).code == 0
    handed_over = await stack.value("SELECT created_at FROM intents WHERE job_id = $1", job)
    assert handed_over >= due


async def test_who_was_not_started_in_time_on_a_paused_qpu_fails_and_so_do_the_runs(
    stack: Installation,
) -> None:
    start_by = datetime.now(UTC) + timedelta(hours=1)
    wish = request(BELL, 50, "too-late").model_copy(update={"qpu": QPU, "start_by": start_by})
    assert (await stack.run("--operator", "pause", QPU, "Cabling")).code == 0
    try:
        run = await stack.start(f"run-circuits/{QPU}", {"request": wish.model_dump(mode="json")})
        job = (await stack.run(*SUBMIT, "--start-by", "+1h")).stdout.strip()
        carried = await run_of(stack, job)
        for one in (run, carried):
            await says(stack, one, "Cabling")
        own = await stack.job_of(run)
        await stack.rows(PASS, [job, own])
        for one in (run, carried):
            ended = await stack.ended(one)
            assert ended["state_type"] == "FAILED"
            assert "Its latest start, " in ended["state"]["message"]
        for one in (job, own):
            assert (await stack.job(one))["state"] == "failed"
        report = (await stack.run("status", job, "--json")).json
        assert report["events"][-1]["via"] == "clock"
    finally:
        assert (await stack.run("--operator", "resume", QPU)).code == 0
    too_late = await stack.run(*SUBMIT, "--start-by", "2020-01-01T00:00Z")
    assert too_late.code == 2
    assert "has passed" in too_late.message
