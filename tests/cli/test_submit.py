"""`qpuflow submit` and what follows it, as a user types it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.examples.expectations import EXAMPLES
from tests.system.installation import Answer, Installation

FILES = [EXAMPLES / f"{name}.qasm" for name in ("two-registers", "bell", "deutsch-jozsa")]
REPORT = {
    *("job_id", "state", "reason", "user", "qpu", "shots", "attempt", "created_at"),
    *("finished_at", "programs", "timings", "events", "waits_because", "expected_start_at", "cost"),
    *("not_before", "start_by"),
}
LONG = "\n".join(
    [
        'OPENQASM 3.0; include "stdgates.inc"; qubit[20] q; bit[20] c;',
        *(f"h q[{i}]; t q[{i}];" for i in range(20)),
        "c[0] = measure q[0];",
        "if (c[0]) { x q[1]; }",
        *(f"cx q[{i}], q[{i + 1}]; rx(0.3) q[{i}];" for i in range(19)),
        "c = measure q;",
    ]
)
"""A simulation of minutes: the measurement in the middle makes every shot a run of its own."""
STEPS = ("transpile", "book_slot", "dispatch", "wait", "post_process", "store")


@pytest.fixture(scope="module")
async def answer(stack: Installation) -> Answer:
    options = ("--qpu", "aer", "--shots", 500, "--key", "of-this-module", "--wait", "--json")
    return await stack.run("submit", *FILES, *options)


@pytest.fixture(scope="module")
def report(answer: Answer) -> Any:
    return answer.json


def test_the_json_has_the_documented_keys(report: Any) -> None:
    assert set(report) == REPORT
    assert (report["state"], report["qpu"], report["shots"]) == ("completed", "aer", 500)
    for program in report["programs"]:
        assert set(program) == {"name", "counts", "registers", "points", "metadata"}
        assert sum(program["counts"].values()) == 500
        assert all(set(register) == {"name", "size"} for register in program["registers"])
    assert set(report["timings"]) == {f"{step}_seconds" for step in STEPS}


def test_nothing_but_json_is_on_standard_output(answer: Answer) -> None:
    assert answer.stdout.startswith("{")
    assert answer.stdout.endswith("}\n")


def test_programs_keep_their_order(report: Any) -> None:
    assert [program["name"] for program in report["programs"]] == [file.stem for file in FILES]


def test_registers_are_separated_by_one_space_the_last_leftmost(report: Any) -> None:
    program = report["programs"][0]
    sizes = [register["size"] for register in program["registers"]]
    assert list(program["counts"]) == ["10 001"]
    assert sizes == [3, 2]


async def test_status_result_and_jobs_say_the_same(stack: Installation, report: Any) -> None:
    status = (await stack.run("status", "of-this-module", "--json")).json
    told_by_both = set(report) - {"programs", "events"}
    assert {key: status[key] for key in told_by_both} == {key: report[key] for key in told_by_both}
    assert [event["to_state"] for event in status["events"]][-1] == "completed"
    assert (await stack.run("result", report["job_id"][:13], "--json")).json == report
    newest = (await stack.run("jobs", "--qpu", "aer", "--json")).json
    assert report["job_id"] in [job["id"] for job in newest]
    for command in ("status", "result"):
        shown = await stack.run(command, report["job_id"])
        assert shown.code == 0
        assert "completed" in shown.stdout
    assert "10 001" in (await stack.run("result", "of-this-module")).stdout


async def test_a_job_goes_on_without_its_submitter(stack: Installation) -> None:
    submitted = await stack.run("submit", EXAMPLES / "bell.qasm", "--qpu", "aer")
    assert submitted.code == 0, submitted
    result = await stack.run("result", submitted.stdout.strip(), "--wait", "--json")
    assert set(result.json["programs"][0]["counts"]) == {"00", "11"}


async def test_the_same_key_with_the_same_content_is_the_same_job(
    stack: Installation, report: Any
) -> None:
    options = ("--qpu", "aer", "--shots", 500, "--key", "of-this-module", "--json")
    again = (await stack.run("submit", *FILES, *options)).json
    assert again == {"job_id": report["job_id"], "is_new": False}


async def test_the_same_key_with_other_content_is_an_error(
    stack: Installation, report: Any
) -> None:
    options = ("--qpu", "aer", "--shots", 501, "--key", "of-this-module", "--json")
    other = await stack.run("submit", *FILES, *options)
    assert other.code == 2
    assert report["job_id"] in other.message
    assert "Use a new key" in other.message
    assert other.stdout == ""


async def test_a_key_belongs_to_its_user(stack: Installation) -> None:
    options = ("--qpu", "aer", "--key", "of-this-module", "--json")
    other = await stack.run("--user", "bob", "submit", EXAMPLES / "bell.qasm", *options)
    assert other.json["is_new"] is True


async def test_a_job_is_its_users_own(stack: Installation, report: Any) -> None:
    for command in ("status", "result", "cancel"):
        refused = await stack.run("--user", "mallory", command, report["job_id"])
        assert refused.code == 2
        assert "There is no job" in refused.message
    assert (await stack.run("--user", "mallory", "jobs", "--json")).json == []
    seen = await stack.run("--user", "mallory", "--operator", "result", report["job_id"], "--json")
    assert seen.json == report


async def test_a_cancelled_job_says_so_and_has_no_result(
    stack: Installation, tmp_path: Path
) -> None:
    program = tmp_path / "long.qasm"
    program.write_text(LONG)
    submitted = await stack.run("submit", program, "--qpu", "aer", "--shots", 1_000_000)
    job = submitted.stdout.strip()
    cancelled = await stack.run("cancel", job)
    assert cancelled.code == 0, cancelled
    result = await stack.run("result", job, "--wait", "--json")
    assert result.code == 1
    assert '"state": "cancelled"' in result.stdout
    assert not await stack.rows("SELECT 1 FROM charges WHERE job_id = $1", job)
    again = await stack.run("cancel", job)
    assert again.code == 0


async def test_where_nobody_knows_what_ran_it_is_said_that_nothing_was_written(
    stack: Installation, tmp_path: Path
) -> None:
    job = (await stack.run("submit", FILES[1], "--qpu", "aer", "--wait", "--json")).json["job_id"]
    await stack.rows("DELETE FROM executed WHERE job_id = $1", job)
    written = await stack.run("result", job, "--executed", tmp_path / "out")
    assert written.code == 0, written
    assert "no circuit of this job is known to have run" in written.message
    assert not list((tmp_path / "out").iterdir())


async def test_waiting_has_an_end_and_the_job_goes_on(stack: Installation, tmp_path: Path) -> None:
    program = tmp_path / "long.qasm"
    program.write_text(LONG)
    options = ("--qpu", "aer", "--shots", 100_000, "--wait", "--timeout", 0.2, "--key", "patience")
    waited = await stack.run("submit", program, *options)
    assert waited.code == 3, waited
    assert "qpuflow result" in waited.message
    assert (await stack.run("cancel", "patience")).code == 0


async def test_datasets_come_as_netcdf(stack: Installation, report: Any, tmp_path: Path) -> None:
    import xarray as xr

    from qpuflow.domain.result import counts_of

    written = await stack.run("result", report["job_id"], "--netcdf", tmp_path / "out")
    assert written.code == 0, written
    for program in report["programs"]:
        file = tmp_path / "out" / f"{program['name']}.nc"
        with xr.open_dataset(file, engine="h5netcdf") as dataset:
            assert counts_of(dataset) == program["counts"]
            assert dataset.attrs["job_id"] == report["job_id"]


async def test_the_circuits_that_ran_come_as_qpy(
    stack: Installation, report: Any, tmp_path: Path
) -> None:
    from qiskit import qpy

    written = await stack.run("result", report["job_id"], "--executed", tmp_path / "out")
    assert written.code == 0, written
    files = sorted((tmp_path / "out").iterdir())
    assert len(files) == len(FILES)
    for file, program in zip(files, report["programs"], strict=True):
        with file.open("rb") as stream:
            (circuit,) = qpy.load(stream)
        assert circuit.depth() == program["metadata"]["compiled_depth"]
        assert circuit.num_clbits == sum(one["size"] for one in program["registers"])
