"""A job starts from the UI's form, by a schedule, by a Python call and by the API: one way of it.

Beside them, `qpuflow submit` leaves the same traces.
"""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from qpuflow.deployments.worker.engine import SHOW_WAITING_SECONDS
from qpuflow.domain.request import JobOptions
from tests.examples.expectations import EXAMPLES
from tests.system.installation import Installation, eventually

BELL = (EXAMPLES / "bell.qasm").read_text()
CIRCUITS = "run-circuits/aer"
T_GATE = 'OPENQASM 3.0; include "stdgates.inc"; qubit q; bit c; h q; t q; h q; c = measure q;'
ROTATION = (
    'OPENQASM 3.0; include "stdgates.inc"; input float a; qubit q; bit c; rx(a) q; c = measure q;'
)
PART_OF = {
    "jobs": "id = $1",
    "programs": "job_id = $1",
    "intents": "job_id = $1",
    "tickets": "token IN (SELECT token FROM intents WHERE job_id = $1)",
    "executed": "job_id = $1",
    "results": "job_id = $1",
    "charges": "job_id = $1",
    "job_events": "job_id = $1",
}
PYTHON_CALL = """
import asyncio, sys
from qpuflow.domain.request import JobRequest
from qpuflow.flows.run_circuits import run_circuits
report = asyncio.run(run_circuits(JobRequest.model_validate_json(sys.argv[1])))
print(report.job_id)
"""


def form(request: dict[str, Any]) -> dict[str, Any]:
    """What the UI's page "Custom run" sends: all fields of the form, nested."""
    return {
        "parameters": {"request": request},
        "enforce_parameter_schema": True,
        "idempotency_key": None,
        "job_variables": {},
        "state": {"type": "SCHEDULED", "message": "Run from the Prefect UI with its form"},
        "tags": ["from-the-form"],
    }


def bell(**more: Any) -> dict[str, Any]:
    return {"programs": [{"name": "bell", "source": BELL}], "shots": 200, **more}


FULL = bell(
    qpu="aer",
    options={"optimization_level": 2, "seed": 7, "method": "automatic", "memory": False},
    user="fiona",
    project=None,
)
FULL["programs"][0] |= {"format": "openqasm2", "parameters": [], "observables": {"zz": {"ZZ": 1}}}


async def by_form(stack: Installation) -> str:
    body = form(FULL | {"key": f"form-{uuid4()}"})  # another one each time that it is started
    return await stack.start(CIRCUITS, body.pop("parameters"), **body)


async def by_json(stack: Installation) -> str:
    """The same form, with the request typed as JSON."""
    return await stack.start(
        CIRCUITS,
        {"request": {"__prefect_kind": "json", "value": json.dumps(bell())}},
        enforce_parameter_schema=True,
    )


async def by_default(stack: Installation) -> str:
    """The button "Quick run": the deployment's own parameters."""
    return await stack.start(CIRCUITS)


async def by_api(stack: Installation) -> str:
    return await stack.start(CIRCUITS, {"request": bell()})


async def by_schedule(stack: Installation) -> str:
    deployment = await stack.prefect("GET", "/deployments/name/run-circuits/aer")
    async with _scheduled(stack, deployment["id"]):
        wanted = {
            "deployments": {"id": {"any_": [deployment["id"]]}},
            "flow_runs": {
                "tags": {"all_": ["auto-scheduled"]},
                "state": {"type": {"not_any_": ["SCHEDULED"]}},
            },
        }

        async def begun() -> list[dict[str, Any]]:
            return await stack.prefect("POST", "/flow_runs/filter", wanted)

        return (await eventually(begun, "the schedule does not fire", 140))[0]["id"]


@asynccontextmanager
async def _scheduled(stack: Installation, deployment: str) -> AsyncGenerator[None]:
    every = {"active": True, "schedule": {"interval": 20.0}}
    path = f"/deployments/{deployment}/schedules"
    (schedule,) = await stack.prefect("POST", path, [every])
    try:
        yield
    finally:
        # Also deletes the runs that have not begun.
        await stack.prefect("DELETE", f"{path}/{schedule['id']}")


async def by_python(stack: Installation) -> str:
    """The shell lines of `qpuflow env`, then a call of the flow. Returns the run's id."""
    lines = (await stack.run("env")).stdout.splitlines()
    exported = dict(shlex.split(line)[1].split("=", 1) for line in lines)
    answer = await stack.python(PYTHON_CALL, json.dumps(bell(qpu="aer")), environment=exported)
    assert answer.code == 0, answer.stderr
    job = answer.stdout.split()[-1]
    run = await stack.value(
        "SELECT flow_run_id FROM carriers JOIN jobs USING (batch_id) WHERE jobs.id = $1", job
    )
    return str(run)


WAYS = {
    "form": by_form,
    "json": by_json,
    "defaults": by_default,
    "schedule": by_schedule,
    "python": by_python,
    "api": by_api,
}


@pytest.fixture(scope="module")
async def runs(stack: Installation) -> dict[str, dict[str, Any]]:
    """A finished run of each way, started together."""

    async def finished(started: Awaitable[str]) -> dict[str, Any]:
        return await stack.ended(await started)

    ended = await asyncio.gather(*(finished(way(stack)) for way in WAYS.values()))
    return dict(zip(WAYS, ended, strict=True))


async def traces(stack: Installation, job_id: str) -> dict[str, Any]:
    """The job's rows in every table: how many, and which columns are filled."""
    found: dict[str, Any] = {}
    for table, condition in PART_OF.items():
        rows = await stack.rows(f"SELECT * FROM {table} WHERE {condition}", job_id)
        filled = (sorted(name for name, value in row.items() if value is not None) for row in rows)
        found[table] = sorted(filled)
    events = "SELECT from_state, to_state FROM job_events WHERE job_id = $1 ORDER BY id"
    found["history"] = [tuple(row.values()) for row in await stack.rows(events, job_id)]
    return found


@pytest.mark.parametrize("way", WAYS)
async def test_a_run_started_by_it_completes(runs: dict[str, Any], way: str) -> None:
    assert runs[way]["state_type"] == "COMPLETED", runs[way]["state"]["message"]


async def test_every_way_leaves_the_same_rows_in_the_ledger(
    stack: Installation, runs: dict[str, Any]
) -> None:
    submitted = await stack.run(
        "submit", EXAMPLES / "bell.qasm", "--qpu", "aer", "--wait", "--json"
    )
    model = await traces(stack, submitted.json["job_id"])
    assert all(model.values()), f"a table without a row: {model}"
    assert [state for _, state in model["history"]] == [
        *("queued", "preparing", "running", "waiting", "completed"),
    ]
    for way, run in runs.items():
        found = await traces(stack, await stack.job_of(run["id"]))
        if way == "form":  # its observable needs no other basis than Z
            assert len(found["executed"]) == 1
        assert found == model, way


async def test_the_history_says_through_what_the_job_came(
    stack: Installation, runs: dict[str, Any]
) -> None:
    async def via(way: str) -> str:
        query = "SELECT via FROM job_events WHERE job_id = $1 ORDER BY id LIMIT 1"
        return await stack.value(query, await stack.job_of(runs[way]["id"]))

    assert await via("schedule") == "schedule"
    assert await via("api") == "prefect"


@pytest.mark.parametrize("way", WAYS)
async def test_its_name_and_tags_say_job_qpu_and_user(
    stack: Installation, runs: dict[str, Any], way: str
) -> None:
    job = await stack.job(await stack.job_of(runs[way]["id"]))
    for word in (str(job["id"])[:8], "aer", job["user"]):
        assert word in runs[way]["name"]
    assert {"qpu:aer", f"user:{job['user']}"} <= set(runs[way]["tags"])


async def test_the_form_decides_user_project_key_and_options(
    stack: Installation, runs: dict[str, Any]
) -> None:
    job = await stack.job(await stack.job_of(runs["form"]["id"]))
    key = runs["form"]["parameters"]["request"]["key"]
    assert key.startswith("form-")
    assert (job["user"], job["project"], job["key"]) == ("fiona", "fiona", key)
    assert JobOptions.model_validate_json(job["options"]) == JobOptions(**FULL["options"])
    assert "from-the-form" in runs["form"]["tags"]


async def test_jobs_and_pictures_are_shown_as_artifacts_and_progress_where_there_was_time_for_it(
    stack: Installation, runs: dict[str, Any]
) -> None:
    for way, run in runs.items():
        shown = {one["type"]: one["data"] for one in await stack.artifacts(run["id"])}
        assert shown.keys() - {"progress"} == {"table", "markdown"}, way
        assert shown.get("progress", 100) == 100
        (row,) = json.loads(shown["table"])
        assert row["job"] == await stack.job_of(run["id"])
        assert "```" in shown["markdown"], "no drawing"


async def test_the_ui_is_told_the_form_with_titles_bounds_and_a_program_to_try(
    stack: Installation,
) -> None:
    deployment = await stack.prefect("GET", "/deployments/name/run-circuits/aer")
    schema = deployment["parameter_openapi_schema"]
    assert deployment["enforce_parameter_schema"] is True
    request = schema["definitions"]["JobRequest"]["properties"]
    assert request["shots"]["minimum"] == 1
    assert request["qpu"]["title"] == "QPU"
    assert "OPENQASM" in deployment["parameters"]["request"]["programs"][0]["source"]


REFUSED = {
    "zero-shots": ({**bell(), "shots": 0}, "shots"),
    "too-many-shots": ({**bell(), "shots": 10**9}, "shots"),
    "unbound": ({"programs": [{"source": ROTATION}]}, "Unbound parameters: a"),
    "other-qpu": (bell(qpu="aer-heavyhex"), "run-circuits/aer-heavyhex"),
    "syntax": ({"programs": [{"source": "OPENQASM 3.0;\nqubit q\nh q;"}]}, "line"),
}


async def test_a_refused_request_fails_its_run_with_the_message_and_leaves_no_job(
    stack: Installation,
) -> None:
    async def refused(request: dict[str, Any]) -> dict[str, Any]:
        more = {"enforce_parameter_schema": False}
        return await stack.ended(await stack.start(CIRCUITS, {"request": request}, **more))

    ended = await asyncio.gather(*(refused(request) for request, _ in REFUSED.values()))
    for run, (name, (_, message)) in zip(ended, REFUSED.items(), strict=True):
        assert run["state_type"] == "FAILED", name
        assert message in run["state"]["message"], name
        assert not await stack.rows("SELECT 1 FROM carriers WHERE flow_run_id = $1", run["id"])
        assert not await stack.rows("SELECT 1 FROM jobs WHERE key = $1", run["id"])


async def test_what_has_ended_soon_after_it_was_admitted_is_not_shown_to_wait(
    stack: Installation,
) -> None:
    asked = [*(bell(shots=10 + n) for n in range(10)), {"programs": [{"source": ROTATION}]}]
    ended = [await stack.ended(await stack.start(CIRCUITS, {"request": one})) for one in asked]
    await asyncio.sleep(2 * SHOW_WAITING_SECONDS)  # for nothing to happen
    for run in ended:
        history = await stack.prefect("GET", f"/flow_run_states/?flow_run_id={run['id']}")
        assert history[-1]["type"] in ("COMPLETED", "FAILED"), [one["name"] for one in history]


async def test_the_form_itself_refuses_zero_shots(stack: Installation) -> None:
    with pytest.raises(AssertionError, match=r"^4\d\d .*shots"):
        await stack.start(CIRCUITS, {"request": {**bell(), "shots": 0}})


async def test_a_retry_of_a_failed_run_is_a_new_attempt_of_the_same_job(
    stack: Installation,
) -> None:
    request = {"programs": [{"source": T_GATE}], "options": {"method": "stabilizer"}}
    run_id = await stack.start(CIRCUITS, {"request": request})
    first = await stack.ended(run_id)
    job_id = await stack.job_of(run_id)
    assert first["state_type"] == "FAILED"
    assert "stabilizer" in first["state"]["message"]
    await retried(stack, run_id)
    job = await stack.job(job_id)
    assert (job["state"], job["attempt"]) == ("failed", 2)
    assert await stack.job_of(run_id) == job_id
    assert not await stack.rows("SELECT 1 FROM charges WHERE job_id = $1", job_id)


async def test_a_retry_of_a_completed_run_gives_its_result_and_runs_nothing(
    stack: Installation, runs: dict[str, Any]
) -> None:
    job_id = await stack.job_of(runs["api"]["id"])
    before = await traces(stack, job_id)
    again = await retried(stack, runs["api"]["id"])
    assert again["state_type"] == "COMPLETED", again["state"]
    assert await traces(stack, job_id) == before


async def retried(stack: Installation, run_id: str) -> dict[str, Any]:
    """As the button "Retry" does."""
    state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
    before = (await stack.flow_run(run_id))["run_count"]
    await stack.prefect("POST", f"/flow_runs/{run_id}/set_state", {"state": state, "force": True})

    async def ran_again() -> bool:
        return (await stack.flow_run(run_id))["run_count"] > before

    await eventually(ran_again, f"run {run_id} is not started again", 60)
    return await stack.ended(run_id)
