"""`qblox-dummy`, the rack that the stack runs itself, as its users meet it."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from qpuflow.deployments.stack import Plan, plan, running_stack, shipped_rack, stack_status
from qpuflow.deployments.stack.plan import WORKER_TYPE
from qpuflow.domain.errors import OperatorNeeded
from qpuflow.domain.settings import Settings
from qpuflow.drivers.extras import require
from tests.examples.expectations import EXAMPLES
from tests.system.installation import Installation, eventually
from tests.system.test_documents import ROOT, commands

QPU = "qblox-dummy"
BELL = EXAMPLES / "bell.qasm"


async def submitted(stack: Installation, *options: object) -> Any:
    return (await stack.run("submit", BELL, "--qpu", QPU, "--json", *options)).json


async def test_a_job_goes_from_the_command_line_to_the_sequencers_and_back(
    stack: Installation, tmp_path: Path
) -> None:
    import xarray as xr

    report = await submitted(stack, "--shots", 2000, "--memory", "--wait")
    (program,) = report["programs"]
    counts = program["counts"]
    assert sum(counts.values()) == 2000
    assert counts["00"] + counts["11"] > 1850
    assert abs(counts["00"] - counts["11"]) < 300
    written = await stack.run("result", report["job_id"], "--netcdf", tmp_path)
    assert written.code == 0, written
    with xr.open_dataset(tmp_path / "bell.nc", engine="h5netcdf") as dataset:
        assert dataset.attrs["qpu"] == QPU
        assert dataset.attrs["executor"] == "quantify"
        assert len(dataset.attrs["device_file_hash"]) == 64
        assert dataset["bits"].shape == (1, 2000, 2)


async def test_points_in_the_iq_plane_come_with_the_result_where_there_are_any(
    stack: Installation, tmp_path: Path
) -> None:
    import xarray as xr

    report = await submitted(stack, "--shots", 300, "--measurement-level", 1, "--wait")
    assert (await stack.run("result", report["job_id"], "--netcdf", tmp_path)).code == 0
    with xr.open_dataset(tmp_path / "bell.nc", engine="h5netcdf") as dataset:
        assert dict(dataset["iq"].sizes) == {"point": 1, "shot": 300, "clbit": 2, "quadrature": 2}
        assert list(dataset["quadrature"].values) == ["I", "Q"]
    refused = await stack.run("submit", BELL, "--qpu", "aer", "--measurement-level", 1)
    assert (refused.code, "no measurement level 1" in refused.message) == (2, True)


async def test_raw_traces_come_with_the_result_and_what_has_none_is_refused_at_once(
    stack: Installation, tmp_path: Path
) -> None:
    import xarray as xr

    level = ("--measurement-level", 0)
    report = await submitted(stack, "--shots", 300, *level, "--average", "--wait")
    assert (await stack.run("result", report["job_id"], "--netcdf", tmp_path)).code == 0
    with xr.open_dataset(tmp_path / "bell.nc", engine="h5netcdf") as dataset:
        sizes = {"point": 1, "clbit": 2, "time": 1000, "quadrature": 2}
        assert dict(dataset["trace"].sizes) == sizes
        assert dataset["time"].attrs["units"] == "ns"
    table = await stack.run("result", report["job_id"])
    assert "c[1] trace" in table.stdout, "what an average has is shown"
    refused = await stack.run("submit", BELL, "--qpu", QPU, *level)
    assert (refused.code, "not the same shots" in refused.message) == (2, True)


async def test_the_jobs_of_the_guide_run(stack: Installation) -> None:
    every = commands("docs/racks.md")
    jobs = [command for command in every if command[0] == "submit" and QPU in command]
    assert len(jobs) >= 4
    for command in jobs:
        answer = await stack.run(*command, cwd=ROOT)
        assert answer.code == 0, (command, answer)


async def test_misread_bits_are_undone_by_what_a_calibration_found(stack: Installation) -> None:
    await stack.rows("DELETE FROM calibrations WHERE qpu = $1", QPU)
    refused = await stack.run("submit", BELL, "--qpu", QPU, "--mitigate-readout")
    assert (refused.code, "has measured the readout of any qubit" in refused.message) == (2, True)
    for qubit in range(5):
        await stack.rows(
            "INSERT INTO calibrations (qpu, quantity, qubit, value, error, shots, measured_at, "
            "details) VALUES ($1, 'readout', $2, 0.994, 0.001, 20000, now(), $3)",
            *(QPU, qubit, '{"confusion": [[0.994, 0.006], [0.006, 0.994]]}'),
        )
    report = await submitted(stack, "--shots", 20_000, "--mitigate-readout", "--wait")
    (point,) = report["programs"][0]["points"]
    assert point["counts"]["01"] > 50, "misread"
    for outcome, wanted in (("00", 0.5), ("01", 0.0), ("10", 0.0), ("11", 0.5)):
        found = point["mitigated"][outcome]
        assert abs(found["value"] - wanted) < 5 * found["error"] < 0.05
    table = await stack.run("result", report["job_id"])
    assert "mitigated" in table.stdout


async def test_the_rack_hears_that_a_result_is_stored_at_once_or_at_the_next_sync(
    stack: Installation,
) -> None:
    job_id = (await submitted(stack, "--shots", 20, "--wait"))["job_id"]
    token = f"qpuflow-{UUID(job_id).hex}-1"
    journal = stack.home / "racks" / QPU / "state" / "journal.sqlite"

    def rack(query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(journal, isolation_level=None)) as connection:
            return connection.execute(query, (token,)).fetchall()

    async def confirmed() -> bool:
        return rack("SELECT confirmed FROM jobs WHERE token = ?")[0][0] is not None

    await eventually(confirmed, "the store step has not told the rack")
    rack("UPDATE jobs SET confirmed = NULL, ended = ended - 7200 WHERE token = ?")
    run = await stack.ended(await stack.start("sync-devices/system"))
    assert run["state_type"] == "COMPLETED", run["state"]
    assert await confirmed(), "what was not heard is made up for"


async def test_who_booked_it_goes_first_on_it(stack: Installation) -> None:
    booking = (await stack.run("--user", "carol", "book", QPU, "now", "+1h", "--json")).json
    try:
        stranger = await submitted(stack, "--shots", 1_000_000)
        waiting = (await stack.run("status", stranger["job_id"], "--json")).json
        assert waiting["state"] == "queued", waiting
        owner = await stack.run(
            *("--user", "carol", "submit", BELL, "--qpu", QPU, "--shots", 100, "--wait", "--json")
        )
        assert owner.json["state"] == "completed"
        waiting = (await stack.run("status", stranger["job_id"], "--json")).json
        assert waiting["state"] == "queued", waiting
        assert "carol" in waiting["waits_because"] or "booking" in waiting["waits_because"]
    finally:
        await stack.run("--user", "carol", "release", booking["id"])
    assert (await stack.run("cancel", stranger["job_id"])).code == 0


async def test_its_daemon_comes_back_and_goes_on(stack: Installation) -> None:
    def daemon() -> int | None:
        (part,) = [part for part in stack.record.parts if part.name == "rack"]
        return part.pid if part.phase == "ready" else None

    before = daemon()
    assert before
    os.kill(before, signal.SIGKILL)

    async def back() -> bool:
        return daemon() not in (None, before)

    await eventually(back, "no new daemon")
    report = await submitted(stack, "--shots", 50, "--wait")
    assert report["state"] == "completed"


def test_without_the_extra_it_is_not_there_and_the_rest_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    assert shipped_rack.runs_here(Plan(), settings)
    monkeypatch.setattr(plan, "RACK_MODULES", ("no_such_module",))
    assert not shipped_rack.runs_here(Plan(), settings)
    assert Plan().workers(settings) == ("aer", "aer-heavyhex", "system")
    with pytest.raises(OperatorNeeded, match=r"no_such_module is not installed.*qpuflow\[qblox\]"):
        require("qblox", "no_such_module")


async def test_a_slip_in_its_files_takes_no_other_qpu_away(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", port=0, workers=("aer", QPU))
    shipped_rack.prepare(settings)
    (shipped_rack.folder(settings) / "device.yml").write_text("qubits: [")
    async with running_stack(settings, Plan(worker_type=WORKER_TYPE)):
        record = stack_status(settings)
        assert record is not None
        phases = {part.name: part.phase for part in record.parts}
        assert phases["worker-aer"] == "ready"
        assert phases["rack"] != "ready"
