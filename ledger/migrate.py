"""Bringing a database to a schema revision, up or down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

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

    engine = create_async_engine(async_url(url))
    async with engine.connect() as connection:
        found = await connection.run_sync(compare)
    await engine.dispose()
    return found


async def _run(url: str, action: Any, revision: str, **options: Any) -> None:
    def migrate(connection: Connection) -> None:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        action(config, revision, **options)

    engine = create_async_engine(async_url(url))
    async with engine.begin() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()
