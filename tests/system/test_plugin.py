"""A QPU whose driver another package brings: from its block to a result, its token kept secret."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from qpuflow.deployments.stack import postgres
from tests.drivers.test_loading import install
from tests.system.installation import Installation, eventually
from tests.system.own_worker import OwnWorker

TOKEN = "tok-Zm9yLXlvdXItZXllcy1vbmx5"
TOSS = 'OPENQASM 3.0; include "stdgates.inc"; qubit q; bit c; h q; c = measure q;'
SAVE_BLOCKS = f"""
from qpuflow.blocks import PluginQpu, QpuCredentials
credentials = QpuCredentials(token="{TOKEN}", more={{"account": "{TOKEN}-2"}})
credentials.save("coin-account")
PluginQpu(kind="coin", settings={{"side": "edge"}}, credentials=credentials).save("coin")
"""


@dataclass
class Plugged:
    """The installation with a further QPU, and what the commands of its user said."""

    stack: Installation
    site: Path
    said: str
    worker_log: Path


@pytest.fixture(scope="module")
async def plugged(
    stack: Installation, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Plugged]:
    folder = tmp_path_factory.mktemp("plugin")
    site = await asyncio.to_thread(install, folder / "coin", folder / "site")
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {"PYTHONPATH": path}
    prefect = environment | {"PREFECT_API_URL": stack.endpoints.prefect_api_url}
    saved = await stack.python(SAVE_BLOCKS, environment=prefect)
    assert saved.code == 0, saved.stderr
    registered = await stack.run("register", "plugin-qpu/coin", environment=environment)
    assert registered.code == 0, registered
    log = folder / "worker.log"
    worker = OwnWorker(stack, _worker_command(registered.stdout), environment, log)
    await worker.start()
    said = "".join((saved.stdout, saved.stderr, registered.stdout, registered.stderr))
    yield Plugged(stack, site, said, log)
    await worker.stop()


def _worker_command(advice: str) -> list[str]:
    """The worker's, as `qpuflow register` says it."""
    command = next(line.split() for line in advice.splitlines() if "worker start" in line)
    assert command[0] == "prefect"
    return command[1:]


async def test_a_job_runs_on_it_and_is_charged_what_it_says(plugged: Plugged) -> None:
    stack = plugged.stack
    request = {"programs": [{"name": "toss", "source": TOSS}], "shots": 100}
    run = await stack.ended(await stack.start("run-circuits/coin", {"request": request}))
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    job = await stack.job_of(run["id"])
    report = (await stack.run("result", job, "--json")).json
    assert report["programs"][0]["counts"] == {"0": 50, "1": 50}
    (charge,) = await stack.rows("SELECT qpu, seconds FROM charges WHERE job_id = $1", job)
    assert (charge["qpu"], float(charge["seconds"])) == ("coin", 0.5)


async def test_the_command_line_knows_it(plugged: Plugged, tmp_path: Path) -> None:
    stack = plugged.stack
    assert "coin" in [qpu["name"] for qpu in (await stack.run("qpus", "--json")).json]
    (tmp_path / "toss.qasm").write_text(TOSS)
    submit = ("submit", tmp_path / "toss.qasm", "--qpu", "coin")
    done = await stack.run(*submit, "--shots", 10, "--wait", "--json")
    assert done.json["programs"][0]["counts"] == {"0": 5, "1": 5}
    many = await stack.run(*submit, "--shots", 101)
    assert many.code == 2
    assert "coin takes at most 100" in many.message


async def test_its_token_is_nowhere_to_be_read(plugged: Plugged) -> None:
    """Not in a parameter, a log, an artifact or a table of either database, nor on the disk."""
    assert TOKEN not in plugged.said
    assert TOKEN.encode() not in plugged.worker_log.read_bytes()
    for log in (plugged.stack.home / "logs").iterdir():
        assert TOKEN.encode() not in log.read_bytes(), log
    for database in ("qpuflow", "prefect"):
        text = await dumped(plugged.stack, database)
        assert b"CREATE TABLE" in text
        assert b"coin" in text
        assert TOKEN.encode() not in text, database


async def dumped(stack: Installation, database: str) -> bytes:
    url = postgres.Cluster(stack.home / "postgres").url(database)
    process = await asyncio.create_subprocess_exec(
        *(str(postgres.binaries() / "pg_dump"), "--dbname", url),
        stdout=subprocess.PIPE,
    )
    stdout, _ = await process.communicate()
    assert process.returncode == 0
    return stdout


async def test_prefect_shows_the_token_as_stars(plugged: Plugged) -> None:
    """What the pages of the UI ask for."""

    async def block() -> Any:
        path = "/block_types/slug/qpu-credentials/block_documents/name/coin-account"
        return await plugged.stack.prefect("GET", path)

    found = await eventually(block, "no block", 10)
    assert TOKEN not in str(found)
    assert "***" in found["data"]["token"]
