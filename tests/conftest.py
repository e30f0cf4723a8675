"""Real parts for every test: one PostgreSQL server for the session, an empty database on demand."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

from qpuflow.deployments.stack import postgres
from qpuflow.domain.errors import Unavailable
from tests.system.aftermath import pytest_runtest_makereport
from tests.system.fixtures import nowhere, stack

__all__ = ["nowhere", "pytest_runtest_makereport", "stack"]  # of the whole system

settings.register_profile("not timed", deadline=None)
settings.load_profile("not timed")

_numbers = count(1)


@asynccontextmanager
async def running(cluster: postgres.Cluster, log: Path) -> AsyncGenerator[None]:
    await postgres.prepare(cluster)
    with log.open("wb") as output:
        server = await asyncio.create_subprocess_exec(
            *cluster.command(), stdout=output, stderr=output
        )
    try:
        await eventually_answers(cluster, log)
        yield
    finally:
        server.send_signal(signal.SIGINT)
        await server.wait()
        postgres.remove_sockets(cluster)


async def eventually_answers(
    cluster: postgres.Cluster, log: Path, timeout_seconds: float = 30.0
) -> None:
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while True:
        try:
            return await postgres.check(cluster.url("postgres"))
        except Unavailable:
            if asyncio.get_running_loop().time() > deadline:
                raise RuntimeError(_end_of(log)) from None
            await asyncio.sleep(0.02)


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


@pytest.fixture(scope="session")
async def postgres_cluster(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[postgres.Cluster]:
    """The session's PostgreSQL server; its databases belong to the tests."""
    home = tmp_path_factory.mktemp("postgres")
    cluster = postgres.Cluster(home / "cluster")
    async with running(cluster, home / "log"):
        yield cluster
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(postgres_cluster: postgres.Cluster) -> str:
    """Of the server's own database, from which others are created."""
    return postgres_cluster.url("postgres")


@pytest.fixture(scope="module")
async def module_database_url(postgres_cluster: postgres.Cluster) -> AsyncGenerator[str]:
    """An empty database with our extensions for all tests of one module."""
    async with _database(postgres_cluster) as url:
        yield url


@pytest.fixture
async def fresh_database_url(postgres_cluster: postgres.Cluster) -> AsyncGenerator[str]:
    """An empty database with our extensions, gone after the test."""
    async with _database(postgres_cluster) as url:
        yield url


@asynccontextmanager
async def _database(cluster: postgres.Cluster) -> AsyncGenerator[str]:
    name = f"test_{next(_numbers)}"
    await postgres.create_databases(cluster, [name])
    try:
        yield cluster.url(name)
    finally:
        await postgres.drop_database(cluster, name)
