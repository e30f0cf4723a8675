"""One real stack: PostgreSQL, a Prefect server, a worker. Its parts are killed and come back."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

from qpuflow.deployments.stack import (
    Plan,
    running_stack,
    stack_status,
    start_detached,
    stop_stack,
)
from qpuflow.domain.endpoints import PartRecord, find_endpoints, record_file
from qpuflow.domain.errors import Conflict, InputError, Unavailable
from qpuflow.domain.settings import Settings
from tests.stack.stacks import PLATFORM, commands_of, eventually, processes_of

PLAN = Plan(pools=("one",), bring_up=PLATFORM)


@pytest.fixture(scope="module")
async def small_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Settings]:
    settings = Settings(home=tmp_path_factory.mktemp("small"), port=0)
    async with running_stack(settings, PLAN):
        yield settings


def part(settings: Settings, name: str) -> PartRecord:
    record = stack_status(settings)
    assert record
    return next(part for part in record.parts if part.name == name)


async def ask(settings: Settings, query: str) -> object:
    connection = await asyncpg.connect(find_endpoints(settings).ledger_url.get_secret_value())
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_the_ledger_and_the_pages_answer_at_the_endpoints(small_stack: Settings) -> None:
    assert await ask(small_stack, "SELECT current_database()") == "qpuflow"
    async with httpx.AsyncClient() as client:
        page = await client.get(find_endpoints(small_stack).ui_url, follow_redirects=True)
        settings = await client.get(f"{find_endpoints(small_stack).ui_url}/ui-settings")
    assert page.status_code == 200
    assert settings.json()["api_url"] == find_endpoints(small_stack).prefect_api_url


async def test_late_runs_are_off_and_fsync_is_on(
    small_stack: Settings,
) -> None:
    async with httpx.AsyncClient(base_url=find_endpoints(small_stack).prefect_api_url) as client:
        server = (await client.get("/admin/settings")).json()["server"]
    assert server["services"]["late_runs"]["enabled"] is False
    assert await ask(small_stack, "SHOW fsync") == "on"


def test_the_password_is_for_the_owner_only_and_in_no_command_line(small_stack: Settings) -> None:
    password = (small_stack.root / "postgres" / "password").read_text().strip()
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if password in " ".join(command)]
    for file in (record_file(small_stack), small_stack.root / "postgres" / "password"):
        assert file.stat().st_mode & 0o077 == 0


async def test_a_second_stack_for_the_same_home_names_the_first(small_stack: Settings) -> None:
    record = stack_status(small_stack)
    assert record
    with pytest.raises(Conflict, match=rf"already runs .*pid {record.supervisor.pid}"):
        await start_detached(small_stack, PLAN)


async def test_a_port_in_use_is_named_with_its_holder(
    small_stack: Settings, tmp_path: Path
) -> None:
    port = int(find_endpoints(small_stack).ui_url.rpartition(":")[2])
    holder = part(small_stack, "prefect-server").pid
    other = Settings(home=tmp_path, port=port)
    with pytest.raises(InputError, match=rf"Port {port} is in use by .*\(pid {holder}\)") as error:
        await start_detached(other, PLAN)
    assert "QPUFLOW_PORT" in str(error.value)
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("name", ["worker-one", "prefect-server", "postgres"])
async def test_a_killed_part_comes_back_with_its_data_and_says_so(
    small_stack: Settings, name: str
) -> None:
    table = f"kept_{name.replace('-', '_')}"
    await ask(small_stack, f"CREATE TABLE {table} AS SELECT 42 AS answer")
    before = part(small_stack, name)
    assert before.pid
    os.kill(before.pid, signal.SIGKILL)

    def is_back() -> bool:
        now = part(small_stack, name)
        return now.restarts == before.restarts + 1 and now.phase == "ready"

    await eventually(is_back, f"{name} does not come back", 60)
    assert await ask(small_stack, f"SELECT answer FROM {table}") == 42
    log = (small_stack.root / "logs" / "supervisor.log").read_text()
    assert f"{name} crashed: killed by SIGKILL" in log


async def test_the_server_answers_from_its_database_after_all_that(small_stack: Settings) -> None:
    async with httpx.AsyncClient(base_url=find_endpoints(small_stack).prefect_api_url) as client:

        async def pools() -> list[str]:
            answer = await client.post("/work_pools/filter", json={})
            return [pool["name"] for pool in answer.raise_for_status().json()]

        assert await pools() == ["one"]


SLOW = """
import asyncio
from prefect import flow
@flow
async def slow() -> None:
    await asyncio.sleep(600)
"""


async def start_slow_flow(settings: Settings) -> None:
    """A run in the pool `one`, taken by its worker."""
    (settings.root / "prefect" / "slow.py").write_text(SLOW)
    async with httpx.AsyncClient(base_url=find_endpoints(settings).prefect_api_url) as client:

        async def post(where: str, **content: object) -> dict[str, Any]:
            return (await client.post(where, json=content)).raise_for_status().json()

        flow = await post("/flows/", name="slow")
        deployment = await post(
            "/deployments/",
            name="slow",
            flow_id=flow["id"],
            work_pool_name="one",
            path=str(settings.root / "prefect"),
            entrypoint="slow.py:slow",
        )
        await post(f"/deployments/{deployment['id']}/create_flow_run", state={"type": "SCHEDULED"})


def flow_processes(settings: Settings) -> list[str]:
    """The commands of those that carry out flow runs, below a worker."""
    return [
        command
        for command in commands_of(settings.root)
        if "prefect.engine" in command or "flow-run" in command
    ]


async def test_a_stopped_stack_takes_its_flow_runs_along(small_stack: Settings) -> None:
    await start_slow_flow(small_stack)
    await eventually(lambda: flow_processes(small_stack), "the worker starts no flow run")
    assert await stop_stack(small_stack)
    assert processes_of(small_stack.root) == []


async def test_a_stopped_stack_starts_again_with_its_data(
    small_stack: Settings,
) -> None:
    assert not record_file(small_stack).exists()
    assert not await stop_stack(small_stack)
    with pytest.raises(Unavailable, match="No qpuflow stack is running"):
        find_endpoints(small_stack)
    async with running_stack(small_stack, PLAN):
        assert await ask(small_stack, "SELECT answer FROM kept_postgres") == 42
