"""QPUs in clouds: from their blocks to results, by the command line, through an own worker."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qpuflow.drivers.fake_clouds import Fault, Kind
from tests.system.installation import Installation, eventually
from tests.system.skies import (
    BELL,
    NEXT_SECRET,
    SECRET,
    Site,
    braket,
    ibm,
    last_line,
    opened,
    quantinuum,
)
from tests.system.test_kills import charged_once, finished
from tests.system.test_plugin import dumped

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module", params=[ibm, quantinuum], ids=lambda cloud: cloud.__name__)
async def site(
    request: pytest.FixtureRequest, stack: Installation, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Site]:
    async with opened(request.param, stack, tmp_path_factory.mktemp("cloud")) as site:
        yield site


async def test_the_guides_program_ends_with_counts(site: Site) -> None:
    await shows_counts(site)


async def shows_counts(site: Site) -> None:
    (site.folder / "bell.qasm").write_text(BELL)
    ended = await site.stack.python(last_line(site.sky.qpu), cwd=site.folder, timeout_seconds=240)
    site.said += ended.stdout + ended.stderr
    assert ended.code == 0, ended.stderr
    assert re.fullmatch(r"\{'(00|11)': \d+, '(00|11)': \d+\}\n", ended.stdout)


async def test_a_job_goes_from_the_command_line_to_the_cloud_and_back(site: Site) -> None:
    before = site.sky.books.count(Kind.EXECUTED)
    site.sky.weather.next("submit", Fault.THROTTLED, Fault.TOKEN_EXPIRED)
    compiler = "qiskit" if site.sky.qpu == "fez" else "vendor"  # IBM's is Qiskit
    report = await site.submit("--wait", "--compiler", compiler, "--level", 2)
    counts = report["programs"][0]["counts"]
    assert counts.keys() == {"00", "11"}
    assert sum(counts.values()) == 100
    assert (site.sky.books.count(Kind.EXECUTED) - before).total() == 1


async def test_kill_9_while_a_job_waits_in_the_cloud_submits_nothing_again(site: Site) -> None:
    stack, books = site.stack, site.sky.books
    before = books.count(Kind.SUBMITTED)
    site.sky.backlog.is_open = False
    job = (await site.submit())["job_id"]
    await site.waits(job)
    (carrier,) = await stack.rows(
        "SELECT c.holder FROM carriers c JOIN jobs j USING (batch_id) "
        "WHERE j.id = $1 AND c.state = 'live'",
        job,
    )
    os.kill(int(carrier["holder"].split(":")[1]), signal.SIGKILL)
    site.sky.backlog.is_open = True
    assert await finished(stack, [job]) == ["completed"]
    await charged_once(stack, [job])
    new = books.count(Kind.SUBMITTED) - before
    assert list(new.values()) == [1], new
    assert books.executed_twice == []


async def test_a_long_wait_is_in_no_process_and_a_restart_costs_nothing(site: Site) -> None:
    stack, books, worker = site.stack, site.sky.books, site.worker
    await site.leave_soon()
    before = books.count(Kind.SUBMITTED)
    site.sky.backlog.is_open = False
    request = {"programs": [{"name": "bell", "source": BELL}], "shots": 100}
    run = await stack.start(f"run-circuits/{site.sky.qpu}", {"request": request})
    job = (await site.submit())["job_id"]
    await eventually(lambda: asleep(stack, site.sky.qpu, 2), "their runs do not leave", 90)
    assert (await stack.flow_run(run))["state_type"] == "PAUSED"
    await worker.kill()
    await worker.start()
    site.sky.backlog.is_open = True
    jobs = [job, await stack.job_of(run)]
    await stack.all_ended(jobs, 240)
    await charged_once(stack, jobs)
    assert (await stack.ended(run))["state_type"] == "COMPLETED"
    new = books.count(Kind.SUBMITTED) - before
    assert list(new.values()) == [1, 1], new


async def test_who_cancels_a_suspended_run_cancels_in_the_cloud_also_while_no_worker_is_there(
    site: Site,
) -> None:
    stack, books = site.stack, site.sky.books
    await site.leave_soon()
    before = books.count(Kind.CANCELLED).total()
    site.sky.backlog.is_open = False
    request = {"programs": [{"name": "bell", "source": BELL}], "shots": 100}
    run = await stack.start(f"run-circuits/{site.sky.qpu}", {"request": request})
    await eventually(lambda: asleep(stack, site.sky.qpu, 1), "the run does not leave", 90)
    await site.worker.kill()
    cancelled = {"state": {"type": "CANCELLED"}, "force": True}
    await stack.prefect("POST", f"/flow_runs/{run}/set_state", cancelled)
    await stack.reap()
    await site.worker.start()

    async def is_cancelled() -> bool:
        return books.count(Kind.CANCELLED).total() == before + 1

    await eventually(is_cancelled, "the cloud is not told", 120)
    site.sky.backlog.is_open = True
    assert (await finished(stack, [await stack.job_of(run)]))[0].startswith("cancelled")


async def test_a_job_that_costs_too_much_waits_in_no_process_for_an_operator(site: Site) -> None:
    stack, books = site.stack, site.sky.books
    limit = ("--operator", "cost", "limit", "qpu-seconds", "--qpu", site.sky.qpu)
    assert (await stack.run(*limit, "--ask-above", "0")).code == 0
    before = books.count(Kind.SUBMITTED)
    request = {"programs": [{"name": "bell", "source": BELL}], "shots": 100}
    run = await stack.start(f"run-circuits/{site.sky.qpu}", {"request": request})
    await eventually(lambda: asleep(stack, site.sky.qpu, 1), "the run does not leave", 90)
    assert (await stack.flow_run(run))["state_type"] == "PAUSED"
    job = await stack.job_of(run)
    listed = await stack.run("cost", "approvals", "--state", "pending", "--json")
    assert [one["job_id"] for one in listed.json] == [job]
    assert "an operator's approval" in (await stack.run("status", job)).stdout
    assert (await stack.run("cost", "approve", job)).code == 2, "no operator said so"
    assert books.count(Kind.SUBMITTED) == before
    approved = await stack.run("--operator", "cost", "approve", job, "--answer", "go on")
    assert approved.code == 0, approved
    assert (await stack.ended(run))["state_type"] == "COMPLETED"
    assert list((books.count(Kind.SUBMITTED) - before).values()) == [1]
    assert (await stack.run(*limit)).code == 0, "the limit is gone"


async def asleep(stack: Installation, qpu: str, count: int) -> bool:
    query = (
        "SELECT count(*) FROM carriers c JOIN batches b ON b.id = c.batch_id WHERE b.qpu = $1 "
        "AND c.state = 'live' AND c.holder IS NULL AND c.asleep_at IS NOT NULL"
    )
    return await stack.value(query, qpu) == count


async def test_a_lost_reply_is_settled_without_anybody(site: Site) -> None:
    before = site.sky.books.count(Kind.EXECUTED)
    site.sky.weather.next("submit", Fault.REPLY_LOST)
    report = await site.submit("--wait")
    assert sum(report["programs"][0]["counts"].values()) == 100
    new = site.sky.books.count(Kind.EXECUTED) - before
    assert list(new.values()) == [1], new


async def test_credentials_are_rotated_while_a_job_waits_and_nothing_is_restarted(
    site: Site,
) -> None:
    """The vendor's pages repeat the credentials that it does not accept any more."""
    stack, sky = site.stack, site.sky
    await site.leave_soon()
    process = site.worker.process
    before = sky.books.count(Kind.SUBMITTED)
    sky.backlog.is_open = False
    job = (await site.submit())["job_id"]
    await eventually(lambda: asleep(stack, sky.qpu, 1), "the run does not leave", 90)
    sky.weather.next("log_in", Fault.ECHOED, Fault.ECHOED)
    sky.revoke(SECRET)
    sky.backlog.is_open = True
    await site.rotate(NEXT_SECRET, datetime.now(UTC) + timedelta(days=3))
    await stack.all_ended([job], 120)
    await site.submit("--wait")
    assert process.returncode is None
    assert process is site.worker.process
    assert list((sky.books.count(Kind.SUBMITTED) - before).values()) == [1, 1]


async def test_a_sync_tells_of_credentials_that_end_and_shows_the_vendors_calendar(
    site: Site,
) -> None:
    soon = datetime.now(UTC) + timedelta(days=3)
    await site.rotate(NEXT_SECRET, soon)
    if site.sky.calendar is not None:
        hours = {"start-date": soon, "end-date": soon + timedelta(hours=2)}
        event = {key: f"{at:%Y-%m-%dT%H:%M:%S}" for key, at in hours.items()}
        machine = {"machine": "H1-1", "event-type": "reservation", "organization": "our-lab"}
        site.sky.calendar.append({**event, **machine})
    for _ in range(2):
        await site.stack.ended(await site.stack.start("sync-devices/system"))
    qpus = (await site.stack.run("qpus", "--json")).json
    (shown,) = [one["status_reason"] for one in qpus if one["name"] == site.sky.qpu]
    assert "Its credentials expire on" in shown
    examined = await site.stack.run("doctor", "--json")
    assert examined.code == 1
    findings = json.loads(examined.stdout)
    (found,) = [one for one in findings if one["subject"] == f"QPU {site.sky.qpu}"]
    assert not found["is_good"]
    assert "Its credentials expire on" in found["finding"]
    if site.sky.calendar is not None:
        rows = (await site.stack.run("bookings", site.sky.qpu, "--json")).json
        assert [(row["source"], row["note"]) for row in rows] == [
            ("vendor/quantinuum", "reservation of our-lab")
        ]
        refused = await site.stack.run("--operator", "cancel-booking", rows[0]["id"])
        assert "from vendor/quantinuum's calendar" in refused.message
        await site.submit("--wait")


async def test_no_secret_is_to_be_read_anywhere(site: Site) -> None:
    """Not in a parameter, a log, an artifact or a table of either database, nor on the disk.

    After all that went wrong above: old keys, new ones, and every token that the cloud gave.
    """
    secrets = [SECRET, NEXT_SECRET, *site.sky.issued()]
    assert len(secrets) > 3, "the cloud gave no tokens"
    await is_without(site, secrets)


async def test_no_key_of_amazons_is_to_be_read_anywhere(
    stack: Installation, tmp_path: Path
) -> None:
    """From the guide's block to its last line, in bad weather; and a run that fails."""
    async with opened(braket, stack, tmp_path) as site:
        sky = site.sky
        sky.weather.next("get_device", Fault.ECHOED)
        sky.weather.next("create_quantum_task", Fault.ECHOED, Fault.TOKEN_EXPIRED)
        sky.weather.next("get_quantum_task", Fault.ECHOED, Fault.REPLY_LOST)
        await shows_counts(site)
        assert sky.books.executed_twice == []
        sky.backlog.is_open = False
        request = {"programs": [{"name": "bell", "source": BELL}], "shots": 100}
        run = await stack.start("run-circuits/garnet", {"request": request})
        await site.waits(await eventually(lambda: job_of(stack, run), "it becomes no job"))
        sky.weather.next("get_quantum_task", Fault.ECHOED)
        for task in sky.backlog.jobs.values():
            task.work = warm
        sky.backlog.is_open = True
        assert (await stack.ended(run))["state_type"] == "FAILED"
        await is_without(site, [SECRET, *sky.issued()])


async def job_of(stack: Installation, run_id: str) -> str | None:
    """None until it has been admitted."""
    query = "SELECT j.id FROM jobs j JOIN carriers c USING (batch_id) WHERE c.flow_run_id = $1"
    return next((str(row["id"]) for row in await stack.rows(query, run_id)), None)


def warm() -> None:
    raise RuntimeError("The fridge is warm")


async def is_without(site: Site, secrets: Sequence[str]) -> None:
    logs = (site.folder / "worker.log", *(site.stack.home / "logs").iterdir())
    places = {str(log): log.read_bytes() for log in logs}
    places["what commands said"] = site.said.encode()
    for database in ("qpuflow", "prefect"):
        places[database] = await dumped(site.stack, database)
        assert site.sky.qpu.encode() in places[database]
    echoed = [fault for _, fault in site.sky.weather.struck if fault is Fault.ECHOED]
    assert echoed, "nothing was repeated"
    found = [(place, s) for place, text in places.items() for s in secrets if s.encode() in text]
    assert found == []
