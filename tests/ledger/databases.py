"""Ledgers for tests: each a copy of one migrated database, with a folder for its payloads."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import asyncpg

from qpuflow.deployments.stack import postgres
from qpuflow.ledger import migrate
from qpuflow.ledger.database import Ledger

_numbers = count(1)


@asynccontextmanager
async def template(cluster: postgres.Cluster, name: str) -> AsyncGenerator[str]:
    """The name of a migrated database that nobody is connected to."""
    # Nothing here outlives the session, and a test creates a database in a tenth of the time.
    await execute(cluster.url("postgres"), "ALTER SYSTEM SET fsync = off")
    await execute(cluster.url("postgres"), "SELECT pg_reload_conf()")
    await postgres.create_databases(cluster, [name])
    await migrate.upgrade(cluster.url(name))
    try:
        yield name
    finally:
        await postgres.drop_database(cluster, name)


@asynccontextmanager
async def copy_of(cluster: postgres.Cluster, original: str) -> AsyncGenerator[str]:
    """The address of a new database with the same content."""
    name = f"copy_{next(_numbers)}"
    await execute(cluster.url("postgres"), f'CREATE DATABASE "{name}" TEMPLATE "{original}"')
    try:
        yield cluster.url(name)
    finally:
        await postgres.drop_database(cluster, name)


@asynccontextmanager
async def opened(url: str, payloads: Path, *, pool_size: int = 10) -> AsyncGenerator[Ledger]:
    ledger = await Ledger.open(url, f"file://{payloads}", pool_size=pool_size)
    try:
        yield ledger
    finally:
        await ledger.close()


async def execute(url: str, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()
