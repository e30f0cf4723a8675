"""A QPU whose worker does not run: what becomes of its jobs is the reaper's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from qpuflow.domain.settings import Settings
from qpuflow.flows import waiting_list
from qpuflow.flows.holders import this_process
from qpuflow.flows.open_ledger import open_ledger
from qpuflow.flows.outbox import create_run, create_runs
from qpuflow.flows.waiting_list import WaitingList
from qpuflow.ledger.claims import NOTHING
from qpuflow.ledger.database import Ledger
from tests.examples.expectations import EXAMPLES
from tests.system.installation import Installation, eventually
from tests.system.test_start_times import PASS
from tests.worker.test_waiting import CARRIED, run_of

QPU = "aer-unserved"
SAVE = f"from qpuflow.blocks import AerQpu; AerQpu().save({QPU!r}, overwrite=True)"
PROGRAM = {"source": (EXAMPLES / "bell.qasm").read_text()}
LATEST = """
    SELECT c.flow_run_id FROM carriers c JOIN jobs j USING (batch_id)
    WHERE j.id = $1 ORDER BY c.number DESC LIMIT 1
"""
SUBMIT = ("submit", EXAMPLES / "bell.qasm", "--qpu", QPU)


@pytest.fixture(scope="module")
async def unserved(stack: Installation) -> Installation:
    environment = {"PREFECT_API_URL": stack.endpoints.prefect_api_url}
    assert (await stack.python(SAVE, environment=environment)).code == 0
    assert (await stack.run("register", f"aer-qpu/{QPU}")).code == 0
    return stack


async def test_the_reaper_ends_what_no_engine_started_in_time(unserved: Installation) -> None:
    job = (await unserved.run(*SUBMIT, "--start-by", "+1h")).stdout.strip()
    await unserved.reap()
    run = await run_of(unserved, job)
    assert (await unserved.job(job))["state"] == "queued"
    await unserved.rows(PASS, [job])
    await unserved.reap()
    ended = await unserved.ended(run)
    assert ended["state_type"] == "FAILED"
    assert "Its latest start, " in ended["state"]["message"]
    report = (await unserved.run("status", job, "--json")).json
    assert report["state"] == "failed"
    assert report["events"][-1]["via"] == "clock"


async def test_a_run_that_two_created_at_once_says_why_it_waits_all_the_same(
    unserved: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def after_another(ledger: Ledger, *asked: Any) -> Any:
        await create_runs(ledger, QPU)
        return await create_run(ledger, *asked)

    monkeypatch.setattr(waiting_list, "create_run", after_another)
    assert (await unserved.run("--operator", "pause", QPU, "Cabling")).code == 0
    job = (await unserved.run(*SUBMIT)).stdout.strip()
    settings = Settings(home=unserved.home)
    async with open_ledger(settings) as ledger:
        waiting = WaitingList(cast("Any", SimpleNamespace(ledger=ledger, settings=settings)), QPU)

        async def told() -> bool:
            with temporary_settings({PREFECT_API_URL: unserved.endpoints.prefect_api_url}):
                await waiting.show(NOTHING, frozenset(), is_open=True)
            row = await unserved.rows(CARRIED, job)
            run = await unserved.flow_run(str(row[0]["flow_run_id"])) if row else None
            return run is not None and "Cabling" in run["state"]["message"]

        await eventually(told, "its run does not say why it waits", 20)
    assert (await unserved.run("--operator", "cancel", job)).code == 0
    assert (await unserved.run("--operator", "resume", QPU)).code == 0


async def test_a_run_whose_worker_died_before_it_could_end_it_is_cancelled_all_the_same(
    unserved: Installation,
) -> None:
    job = (await unserved.run(*SUBMIT)).stdout.strip()
    await unserved.reap()
    run = await run_of(unserved, job)
    dead = this_process() + "0"  # born at another time
    await unserved.rows(
        "UPDATE carriers SET holder = $2, heartbeat_at = now() WHERE flow_run_id = $1 RETURNING 1",
        *(run, dead),
    )
    state = {"type": "CANCELLING", "message": "Enough"}
    body = {"state": state, "force": True}
    await unserved.prefect("POST", f"/flow_runs/{run}/set_state", body)
    await unserved.rows("UPDATE jobs SET state = 'preparing' WHERE id = $1 RETURNING 1", job)
    await unserved.reap()
    assert (await unserved.ended(run))["state_type"] == "CANCELLED"
    assert (await unserved.job(job))["state"] == "cancelled"


async def test_of_the_runs_that_wait_the_reaper_replaces_those_that_were_deleted_or_cancelled(
    unserved: Installation,
) -> None:
    jobs = {
        who: (await unserved.run("--user", who, *SUBMIT)).stdout.strip()
        for who in ("deletes", "cancels", "waits")
    }
    await unserved.reap()
    runs = {who: await run_of(unserved, job) for who, job in jobs.items()}
    await unserved.prefect("DELETE", f"/flow_runs/{runs['deletes']}")
    body = {"state": {"type": "CANCELLING", "message": "Enough"}, "force": True}
    await unserved.prefect("POST", f"/flow_runs/{runs['cancels']}/set_state", body)
    await unserved.reap()
    assert (await unserved.ended(runs["cancels"]))["state_type"] == "CANCELLED"
    latest = {who: str(await unserved.value(LATEST, UUID(job))) for who, job in jobs.items()}
    assert {who for who in jobs if latest[who] != runs[who]} == {"deletes", "cancels"}


async def ended_job(unserved: Installation, run: str, state: str) -> None:
    """A job that the run has carried, and that has ended, in the ledger's eyes."""
    job = (await unserved.run(*SUBMIT)).stdout.strip()
    await unserved.rows(
        "WITH j AS (UPDATE jobs SET state = $3, reason = 'Too warm', finished_at = now() "
        "WHERE id = $1 RETURNING batch_id), c AS (UPDATE carriers SET flow_run_id = $2, "
        "state = 'done' FROM j WHERE carriers.batch_id = j.batch_id) "
        "UPDATE batches SET kind = 'single' FROM j WHERE batches.id = j.batch_id RETURNING 1",
        *(job, run, state),
    )


async def test_a_run_whose_worker_died_when_its_job_had_failed_is_not_started_again(
    unserved: Installation,
) -> None:
    run = await unserved.start(f"run-circuits/{QPU}", {"request": {"programs": [PROGRAM]}})
    await ended_job(unserved, run, "failed")
    state = {"state": {"type": "RUNNING"}, "force": True}
    await unserved.prefect("POST", f"/flow_runs/{run}/set_state", state)
    dead = {"infrastructure_pid": this_process() + "0"}
    await unserved.prefect("PATCH", f"/flow_runs/{run}", dead)
    await unserved.reap()
    ended = await unserved.ended(run)
    assert (ended["state_type"], "Too warm" in ended["state"]["message"]) == ("FAILED", True)


async def test_a_run_that_is_shown_to_wait_when_its_job_has_ended_ends_as_it(
    unserved: Installation,
) -> None:
    runs: dict[str, str] = {}
    for state in ("failed", "cancelled", "completed"):
        run = await unserved.start(f"run-circuits/{QPU}", {"request": {"programs": [PROGRAM]}})
        await ended_job(unserved, run, state)
        queued = {"state": {"type": "SCHEDULED", "name": "Queued"}, "force": True}
        await unserved.prefect("POST", f"/flow_runs/{run}/set_state", queued)
        runs[run] = state.upper()

    async def told() -> bool:
        await unserved.reap()
        return {run: (await unserved.flow_run(run))["state_type"] for run in runs} == runs

    await eventually(told, "they are shown to wait", 60)
