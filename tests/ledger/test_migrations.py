"""Bringing a database with jobs in it up and down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from qpuflow.domain.errors import OperatorNeeded
from qpuflow.ledger import migrate
from qpuflow.ledger.database import HEAD, Ledger, async_url
from qpuflow.ledger.schema import Base
from tests.ledger import databases
from tests.ledger.entities import complete, register, rows, submit

CATALOG = """
SELECT 'column', table_name || '.' || column_name,
       data_type || is_nullable || coalesce(column_default, '')
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL
SELECT 'constraint', conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL
SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
"""


async def test_the_tables_in_code_are_those_of_a_migrated_database(ledger_url: str) -> None:
    assert await migrate.differences(ledger_url) == []


async def test_so_are_constraints_and_indexes_which_alembic_does_not_compare(
    ledger_url: str, fresh_database_url: str
) -> None:
    engine = create_async_engine(async_url(fresh_database_url))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await engine.dispose()

    async def catalog(url: str) -> set[tuple[Any, ...]]:
        found = {tuple(row) for row in await databases.execute(url, CATALOG)}
        return {row for row in found if "alembic_version" not in f"{row[1]}{row[2]}"}

    assert await catalog(ledger_url) == await catalog(fresh_database_url)


async def test_down_one_revision_and_up_again_keeps_what_both_revisions_know(
    ledger: Ledger, ledger_url: str
) -> None:
    await complete(ledger)
    before = await rows(ledger, "SELECT id, state, user FROM batches")
    await migrate.downgrade(ledger_url, "0001")
    await migrate.upgrade(ledger_url)
    assert await rows(ledger, "SELECT id, state, user FROM batches") == before
    assert await rows(ledger, "SELECT name FROM qpus") == [("rack",)]


async def test_a_repeated_upgrade_changes_nothing(ledger: Ledger, ledger_url: str) -> None:
    job = await complete(ledger)
    await migrate.upgrade(ledger_url)
    assert await rows(ledger, "SELECT id, state FROM jobs") == [(job.id, "completed")]


async def test_a_full_database_goes_down_to_nothing_and_works_after_coming_up(
    ledger_url: str, tmp_path: Path
) -> None:
    async with databases.opened(ledger_url, tmp_path) as ledger:
        await register(ledger)
        await complete(ledger)
    await migrate.downgrade(ledger_url, "base")
    left = await databases.execute(
        ledger_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    assert {row["tablename"] for row in left} == {"alembic_version"}
    await migrate.upgrade(ledger_url)
    assert await migrate.differences(ledger_url) == []
    async with databases.opened(ledger_url, tmp_path) as ledger:
        await register(ledger)
        assert (await submit(ledger)).is_new


@pytest.mark.parametrize("revision", [None, "0001", "9999"])
async def test_a_database_of_another_revision_is_refused(
    ledger_url: str, revision: str | None, tmp_path: Path
) -> None:
    change = (
        "DROP TABLE alembic_version"
        if revision is None
        else f"UPDATE alembic_version SET version_num = '{revision}'"
    )
    await databases.execute(ledger_url, change)
    with pytest.raises(OperatorNeeded, match=f"revision {revision or 'none'}.*{HEAD}"):
        await Ledger.open(ledger_url, f"file://{tmp_path}")


async def test_a_database_of_a_newer_version_is_not_migrated(ledger_url: str) -> None:
    await databases.execute(ledger_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(OperatorNeeded, match="newer qpuflow"):
        await migrate.upgrade(ledger_url)


async def test_a_failed_migration_leaves_the_database_as_it_was(
    ledger: Ledger, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await complete(ledger)

    def fail_halfway(*_: Any) -> None:
        raise RuntimeError("halfway")

    monkeypatch.setattr("alembic.op.drop_table", fail_halfway)
    with pytest.raises(RuntimeError, match="halfway"):
        await migrate.downgrade(ledger_url, "0001")
    assert await rows(ledger, "SELECT count(*) FROM jobs") == [(1,)]
    async with ledger.begin() as session:
        assert await session.scalar(text("SELECT version_num FROM alembic_version")) == HEAD
