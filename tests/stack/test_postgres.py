"""The embedded PostgreSQL server, by itself."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from qpuflow.deployments.stack import postgres
from qpuflow.deployments.stack.processes import spawn
from qpuflow.domain.errors import OperatorNeeded, Unavailable


@asynccontextmanager
async def serving(
    cluster: postgres.Cluster, log: Path
) -> AsyncGenerator[asyncio.subprocess.Process]:
    await postgres.prepare(cluster)
    server = await spawn(cluster.command(), {}, log)
    try:
        while server.returncode is None:
            try:
                await postgres.check(cluster.url("postgres"))
                break
            except Unavailable:
                await asyncio.sleep(0.05)
        yield server
    finally:
        if server.returncode is None:
            server.terminate()
        await server.wait()
        postgres.remove_sockets(cluster)


async def test_a_fresh_database_has_the_extensions_and_nothing_else(
    fresh_database_url: str,
) -> None:
    connection = await asyncpg.connect(fresh_database_url)
    try:
        rows = await connection.fetch("SELECT extname FROM pg_extension")
        tables = await connection.fetchval(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        )
    finally:
        await connection.close()
    assert {row["extname"] for row in rows} >= {"pg_trgm", "btree_gist"}
    assert tables == 0


async def test_sqlalchemy_takes_the_same_address(fresh_database_url: str) -> None:
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(fresh_database_url.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    await engine.dispose()


def test_a_test_without_a_loop_gets_an_address_too(postgres_url: str) -> None:
    assert postgres_url.startswith("postgresql://")


async def _kill(server: asyncio.subprocess.Process) -> None:
    server.kill()
    await server.wait()


async def test_after_a_power_cut_it_starts_although_the_pid_is_somebody_elses(
    tmp_path: Path,
) -> None:
    cluster = postgres.Cluster(tmp_path / "cluster")
    async with serving(cluster, tmp_path / "log") as server:
        await postgres.create_databases(cluster, ["kept"])
        connection = await asyncpg.connect(cluster.url("kept"))
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        connection.terminate()
        await _kill(server)
    lock = cluster.data / "postmaster.pid"
    lines = lock.read_text().splitlines(keepends=True)
    lock.write_text("".join([f"{os.getpid()}\n", *lines[1:]]))
    async with serving(cluster, tmp_path / "log"):
        connection = await asyncpg.connect(cluster.url("kept"))
        assert await connection.fetchval("SELECT answer FROM kept") == 42
        await connection.close()


async def test_a_half_made_server_is_made_again(tmp_path: Path) -> None:
    cluster = postgres.Cluster(tmp_path / "cluster")
    (tmp_path / "cluster" / "data.unfinished").mkdir(parents=True)
    (tmp_path / "cluster" / "data.unfinished" / "PG_VERSION").write_text("18")
    async with serving(cluster, tmp_path / "log"):
        await postgres.check(cluster.url("postgres"))


async def test_a_socket_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    cluster = postgres.Cluster(tmp_path / "cluster")
    cluster.sockets.mkdir(mode=0o755)
    with pytest.raises(OperatorNeeded, match="was not made by qpuflow"):
        await postgres.prepare(cluster)
    cluster.sockets.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is root's to mount")
async def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    program = f"""
import asyncio
from pathlib import Path
from qpuflow.deployments.stack import Plan, start_detached
from qpuflow.domain.errors import OperatorNeeded
from qpuflow.domain.settings import Settings
try:
    asyncio.run(start_detached(Settings(home=Path({str(tmp_path)!r}), port=0), Plan(pools=())))
except OperatorNeeded as error:
    print(error)
"""
    script = 'mount -t tmpfs -o size=8m small "$1" && exec "$2" -c "$3"'
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, program),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert b"No space left on device" in output
    assert b"QPUFLOW_HOME" in output


async def test_root_without_user_namespaces_is_told_what_to_do(tmp_path: Path) -> None:
    program = f"""
import asyncio
from pathlib import Path
from qpuflow.deployments.stack import postgres
from qpuflow.domain.errors import OperatorNeeded
try:
    asyncio.run(postgres.prepare(postgres.Cluster(Path({str(tmp_path)!r}))))
except OperatorNeeded as error:
    print(error)
"""
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$1" -c "$2"'
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"),
        *(sys.executable, program),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert b"allows root no user namespace" in output
    assert b"normal user, or give QPUFLOW_DATABASE_URL" in output
