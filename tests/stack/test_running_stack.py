"""One real stack: PostgreSQL, a Prefect server, a worker. Its parts are killed and come back."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from qpuflow.deployments.stack import (
    Plan,
    stack_status,
    start_detached,
    stop_stack,
)
from qpuflow.domain.endpoints import PartRecord, find_endpoints, record_file
from qpuflow.domain.errors import Conflict, InputError, Unavailable
from qpuflow.domain.settings import Settings
from tests.stack.stacks import PLATFORM, eventually, processes_of

PLAN = Plan(pools=("one",), bring_up=PLATFORM)


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Settings]:
    settings = Settings(home=tmp_path_factory.mktemp("stack"), port=0)
    await start_detached(settings, PLAN)
    yield settings
    assert await stop_stack(settings)


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


async def test_the_ledger_and_the_pages_answer_at_the_endpoints(stack: Settings) -> None:
    assert await ask(stack, "SELECT current_database()") == "qpuflow"
    async with httpx.AsyncClient() as client:
        page = await client.get(find_endpoints(stack).ui_url, follow_redirects=True)
        settings = await client.get(f"{find_endpoints(stack).ui_url}/ui-settings")
    assert page.status_code == 200
    assert settings.json()["api_url"] == find_endpoints(stack).prefect_api_url


async def test_the_server_promises_no_late_runs_and_keeps_data_on_disk(stack: Settings) -> None:
    async with httpx.AsyncClient(base_url=find_endpoints(stack).prefect_api_url) as client:
        server = (await client.get("/admin/settings")).json()["server"]
    assert server["services"]["late_runs"]["enabled"] is False
    assert await ask(stack, "SHOW fsync") == "on"


def test_the_password_is_for_the_owner_only_and_in_no_command_line(stack: Settings) -> None:
    password = (stack.root / "postgres" / "password").read_text().strip()
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if password in " ".join(command)]
    for file in (record_file(stack), stack.root / "postgres" / "password"):
        assert file.stat().st_mode & 0o077 == 0


async def test_a_second_stack_for_the_same_home_names_the_first(stack: Settings) -> None:
    record = stack_status(stack)
    assert record
    with pytest.raises(Conflict, match=rf"already runs .*pid {record.supervisor.pid}"):
        await start_detached(stack, PLAN)


async def test_a_port_in_use_is_named_with_its_holder(stack: Settings, tmp_path: Path) -> None:
    port = int(find_endpoints(stack).ui_url.rpartition(":")[2])
    holder = part(stack, "prefect-server").pid
    other = Settings(home=tmp_path, port=port)
    with pytest.raises(InputError, match=rf"Port {port} is in use by .*\(pid {holder}\)") as error:
        await start_detached(other, PLAN)
    assert "QPUFLOW_PORT" in str(error.value)
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("name", ["worker-one", "prefect-server", "postgres"])
async def test_a_killed_part_comes_back_with_its_data_and_says_so(
    stack: Settings, name: str
) -> None:
    table = f"kept_{name.replace('-', '_')}"
    await ask(stack, f"CREATE TABLE {table} AS SELECT 42 AS answer")
    before = part(stack, name)
    assert before.pid
    os.kill(before.pid, signal.SIGKILL)

    def is_back() -> bool:
        now = part(stack, name)
        return now.restarts == before.restarts + 1 and now.phase == "ready"

    await eventually(is_back, f"{name} does not come back", 60)
    assert await ask(stack, f"SELECT answer FROM {table}") == 42
    log = (stack.root / "logs" / "supervisor.log").read_text()
    assert f"{name} crashed: killed by SIGKILL" in log


async def test_the_server_answers_from_its_database_after_all_that(stack: Settings) -> None:
    async with httpx.AsyncClient(base_url=find_endpoints(stack).prefect_api_url) as client:

        async def pools() -> list[str]:
            answer = await client.post("/work_pools/filter", json={})
            return [pool["name"] for pool in answer.raise_for_status().json()]

        assert await pools() == ["one"]


async def test_a_stopped_stack_leaves_nothing_and_starts_again(stack: Settings) -> None:
    assert await stop_stack(stack)
    assert processes_of(stack.root) == []
    assert not record_file(stack).exists()
    assert not await stop_stack(stack)
    with pytest.raises(Unavailable, match="No qpuflow stack is running"):
        find_endpoints(stack)
    await start_detached(stack, PLAN)
    assert await ask(stack, "SELECT answer FROM kept_postgres") == 42
