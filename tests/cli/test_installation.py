"""qpus, doctor, logs, env, and where settings come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qpuflow.domain.settings import Settings
from tests.system.installation import Installation


async def test_qpus_tells_what_there_is(stack: Installation) -> None:
    found = {qpu["name"]: qpu for qpu in (await stack.run("qpus", "--json")).json}
    assert {"aer", "aer-heavyhex"} <= set(found)
    assert found["aer-heavyhex"]["device"]["num_qubits"] == 127
    assert found["aer"]["device"]["limits"]["max_shots"] > 0
    assert "aer-heavyhex" in (await stack.run("qpus")).stdout


async def test_doctor_finds_nothing_wrong_with_a_running_stack(stack: Installation) -> None:
    findings = json.loads((await stack.run("doctor", "--json")).stdout)
    # Other tests may leave QPUs behind that have something to say.
    parts = [one for one in findings if not one["subject"].startswith("QPU ")]
    assert [one for one in parts if not one["is_good"]] == []
    subjects = {one["subject"] for one in parts}
    assert {"Python", "Home", "Embedded PostgreSQL", "Ledger", "Prefect"} <= subjects


async def test_doctor_says_that_nothing_runs_and_what_to_do(nowhere: Installation) -> None:
    examined = await nowhere.run("doctor")
    assert examined.code == 1
    assert "qpuflow up" in examined.stdout
    assert "Traceback" not in examined.stdout + examined.stderr


async def test_logs_are_those_of_the_part_asked_for(stack: Installation) -> None:
    shown = await stack.run("logs", "prefect-server", "--lines", 5)
    assert shown.code == 0
    assert "prefect-server" in shown.stdout
    assert "supervisor" not in shown.stdout.splitlines()[0]
    unknown = await stack.run("logs", "coffee-machine")
    assert unknown.code == 2
    assert "prefect-server" in unknown.message, "the known ones are not named"


async def test_env_points_prefects_own_command_at_the_stack(stack: Installation) -> None:
    lines = (await stack.run("env")).stdout.splitlines()
    assert f"export PREFECT_API_URL={stack.endpoints.prefect_api_url}" in lines
    assert f"export QPUFLOW_HOME={stack.home}" in lines


async def test_a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default(
    stack: Installation, tmp_path: Path
) -> None:
    (tmp_path / "qpuflow.toml").write_text(f'home = "{tmp_path / "from-file"}"\n')
    here = Installation(tmp_path / "from-environment")

    async def home(*flags: object, **environment: str) -> str:
        shown = await here.run(*flags, "down", cwd=tmp_path, environment=environment)
        return shown.stdout.split()[-1]

    assert await home("--home", tmp_path / "from-flag") == str(tmp_path / "from-flag")
    assert await home() == str(tmp_path / "from-environment")
    unset = (
        "import os, sys; del os.environ['QPUFLOW_HOME']; sys.argv = ['qpuflow', 'down']; "
        "from qpuflow.deployments.cli import main; main()"
    )
    from_file = await here.python(unset, cwd=tmp_path)
    assert from_file.stdout.split()[-1] == str(tmp_path / "from-file")
    (tmp_path / "qpuflow.toml").unlink()
    default = await here.python(unset, cwd=tmp_path, environment={"HOME": str(tmp_path / "login")})
    assert default.stdout.split()[-1] == str(tmp_path / "login" / ".qpuflow")


NO_SENSE = {
    "QPUFLOW_PORT": ("many", "valid integer"),
    "QPUFLOW_WORKERS": ('["aer"', "Setting workers"),
    "QPUFLOW_STEPS": ("wait", "no JSON"),
    "QPUFLOW_POLICY__GUARD_SECONDS": ("long", "valid number"),
    "QPUFLOW_POLICY__GARD_SECONDS": ("1", "there is no such setting"),
}


@pytest.mark.parametrize("name", NO_SENSE)
async def test_a_setting_that_makes_no_sense_is_named(nowhere: Installation, name: str) -> None:
    value, why = NO_SENSE[name]
    refused = await nowhere.run("jobs", environment={name: value})
    assert refused.code == 2
    assert name in refused.message
    assert why in refused.message


@pytest.mark.parametrize(
    ("address", "why"),
    [("ledger.example/secret", "address is none"), ("mysql://me:secret@db/x", "not in mysql")],
)
async def test_an_address_that_is_none_is_refused_and_not_shown(
    nowhere: Installation, address: str, why: str
) -> None:
    elsewhere = {"QPUFLOW_DATABASE_URL": address, "QPUFLOW_PREFECT_API_URL": "http://p/api"}
    refused = await nowhere.run("jobs", environment=elsewhere)
    assert refused.code == 2
    assert why in refused.message
    assert "QPUFLOW_DATABASE_URL" in refused.message
    assert "secret" not in refused.message


async def test_doctor_finds_settings_that_nothing_reads(
    nowhere: Installation, tmp_path: Path
) -> None:
    (tmp_path / "qpuflow.toml").write_text("wokers = []\n[policy]\nguard_seconds = 1\n")
    typed = {"QPUFLOW_LINGER_SECOND": "9", "QPUFLOW_USER": "alice", "QPUFLOW_XYZ": ""}
    examined = await nowhere.run("doctor", "--json", cwd=tmp_path, environment=typed)
    (found,) = [one for one in json.loads(examined.stdout) if one["subject"] == "Settings"]
    assert not found["is_good"]
    unread = found["finding"].split(":")[0]
    assert unread == "QPUFLOW_LINGER_SECOND, QPUFLOW_XYZ, wokers"
    assert "QPUFLOW_LINGER_SECONDS for QPUFLOW_LINGER_SECOND" in found["remedy"]
    assert "workers for wokers" in found["remedy"]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("aer", ("aer",)),
        (" aer, aer-noisy,", ("aer", "aer-noisy")),
        ('["aer", "aer-noisy"]', ("aer", "aer-noisy")),
        ("", ()),
    ],
)
def test_workers_are_named_in_a_row_or_as_json(
    monkeypatch: pytest.MonkeyPatch, given: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("QPUFLOW_WORKERS", given)
    assert Settings().workers == names


async def test_a_file_that_is_no_toml_is_named(nowhere: Installation, tmp_path: Path) -> None:
    (tmp_path / "qpuflow.toml").write_text("home = \n")
    refused = await nowhere.run("jobs", cwd=tmp_path)
    assert refused.code == 2
    assert "qpuflow.toml" in refused.message
