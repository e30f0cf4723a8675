"""Bringing a database to a schema revision, up or down."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from qpuflow.domain.errors import OperatorNeeded
from qpuflow.ledger.database import HEAD, async_url

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 4_151_023
"""Advisory lock: two stacks that start at once migrate one after the other."""


async def upgrade(url: str, revision: str = HEAD) -> None:
    await _run(url, command.upgrade, revision)


async def downgrade(url: str, revision: str) -> None:
    await _run(url, command.downgrade, revision)


async def differences(url: str) -> list[Any]:
    """What the tables in code have that the migrated database lacks, and the reverse."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from qpuflow.ledger.schema import Base

    def compare(connection: Connection) -> list[Any]:
        return compare_metadata(MigrationContext.configure(connection), Base.metadata)

    async with _connected(url) as connection:
        return await connection.run_sync(compare)


async def _run(url: str, action: Any, revision: str, **options: Any) -> None:
    def migrate(connection: Connection) -> None:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        try:
            action(config, revision, **options)
        except CommandError as error:
            raise OperatorNeeded(
                f"The ledger cannot be migrated to {revision}: {error}",
                remedy="Was it written by a newer qpuflow? Install that version.",
            ) from error

    async with _connected(url) as connection:
        await connection.run_sync(migrate)


@asynccontextmanager
async def _connected(url: str) -> AsyncGenerator[AsyncConnection]:
    """A connection of its own for one transaction."""
    engine = create_async_engine(async_url(url))
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()
