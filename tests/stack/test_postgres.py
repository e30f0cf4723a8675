"""The embedded PostgreSQL server, by itself."""

from __future__ import annotations

import asyncpg


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
