"""What is written as text goes to asyncpg itself: all else of a session stays as it was."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import Boolean, TextClause, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.errors import Silent
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.schema import Project
from tests.system.installation import eventually

ADD = text("INSERT INTO projects (name) VALUES (:name)")
OWN = text("SELECT pg_backend_pid()")
CUT = text("SELECT pg_terminate_backend(:pid)")
ASLEEP = text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")
OPEN = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND (state LIKE 'idle in%' OR query LIKE 'SELECT pg_sleep%' AND state = 'active')"
)


async def names(ledger: Ledger) -> set[str]:
    async with ledger.look() as session:
        return set(await session.scalars(select(Project.name)))


async def add_by_text(session: AsyncSession, name: str) -> None:
    await session.execute(ADD, {"name": name})


async def add_by_orm(session: AsyncSession, name: str) -> None:
    session.add(Project(name=name))
    await session.flush()


@pytest.mark.parametrize("first", [add_by_text, add_by_orm])
async def test_text_and_all_else_are_one_transaction(ledger: Ledger, first: object) -> None:
    ways = [add_by_text, add_by_orm] if first is add_by_text else [add_by_orm, add_by_text]

    async def add_all(session: AsyncSession) -> None:
        for number, way in enumerate([*ways, *ways]):
            await way(session, f"p{number}")
            seen = await session.scalar(text("SELECT count(*) FROM projects"))
            assert seen == await session.scalar(select(func.count()).select_from(Project))

    async def give_up() -> None:
        async with ledger.begin() as session:
            await add_all(session)
            raise RuntimeError

    before = await names(ledger)
    with pytest.raises(RuntimeError):
        await give_up()
    assert await names(ledger) == before
    async with ledger.begin() as session:
        await add_all(session)
    assert await names(ledger) == before | {"p0", "p1", "p2", "p3"}


async def test_what_is_added_after_a_text_and_never_flushed_is_written(ledger: Ledger) -> None:
    async with ledger.begin() as session:
        await add_by_text(session, "said")
        session.add(Project(name="added"))
    assert {"said", "added"} <= await names(ledger)


async def test_each_text_of_a_look_is_kept_by_itself(ledger: Ledger) -> None:
    async def give_up() -> None:
        async with ledger.look() as session:
            await add_by_text(session, "kept")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await give_up()
    assert "kept" in await names(ledger)


async def test_a_violated_constraint_is_named_and_nothing_is_written(ledger: Ledger) -> None:
    async def add_twice() -> None:
        async with ledger.begin() as session:
            await add_by_text(session, "one")
            await add_by_text(session, "one")

    with pytest.raises(IntegrityError, match="projects") as caught:
        await add_twice()
    assert getattr(caught.value.orig, "sqlstate", None) == "23505"
    assert "one" not in await names(ledger)


async def test_what_postgresql_does_not_understand_is_no_silence(ledger: Ledger) -> None:
    async with ledger.look() as session:
        with pytest.raises(DBAPIError, match="nothing_like_it"):
            await session.execute(text("SELECT * FROM nothing_like_it"))


async def test_values_are_what_they_are_to_sqlalchemy(ledger: Ledger) -> None:
    asked = text(
        """
        SELECT CAST(:named AS jsonb) AS named, :many = ANY(CAST(:all AS int[])) AS found,
            CAST(:id AS uuid) AS id, CAST(:named AS jsonb) ->> 'ä' AS again
        """
    ).bindparams(bindparam("named", type_=JSONB))
    statement = asked.columns(named=JSONB, found=Boolean)
    given = {"named": {"ä": [1, None, "ö"]}, "many": 2, "all": [1, 2], "id": uuid4()}
    async with ledger.look() as session:
        told = (await session.execute(statement, given)).one()
    async with AsyncSession(ledger.engine) as session:
        told_by_sqlalchemy = (await session.execute(statement, given)).one()
    assert told == told_by_sqlalchemy
    assert (told.named, told.found, told.id) == (given["named"], True, given["id"])


async def test_nothing_found_is_nothing(ledger: Ledger) -> None:
    nobody = text("SELECT name, created_at FROM projects WHERE name = 'nobody'")
    async with ledger.begin() as session:
        assert await session.scalar(nobody) is None
        assert list(await session.scalars(nobody)) == []
        assert (await session.execute(nobody)).one_or_none() is None
        assert (await session.execute(nobody)).tuples().all() == []


@pytest.mark.parametrize("alone", [True, False])
async def test_one_who_is_cancelled_leaves_no_transaction_open(ledger: Ledger, alone: bool) -> None:
    async def sleep() -> None:
        async with ledger.look() if alone else ledger.begin() as session:
            await add_by_text(session, "asleep")
            await session.execute(text("SELECT pg_sleep(60)"))

    async def asleep() -> bool:
        return await _count(ledger, ASLEEP) > 0

    async def over() -> bool:
        return await _count(ledger, OPEN) == 0

    sleeping = asyncio.create_task(sleep())
    await eventually(asleep, "nobody sleeps")
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    await eventually(over, "its transaction is still open")
    assert ("asleep" in await names(ledger)) is alone


async def _count(ledger: Ledger, statement: TextClause) -> int:
    async with ledger.look() as session:
        return await session.scalar(statement) or 0


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_connection_that_is_cut_is_silence(ledger: Ledger, goes_on: bool) -> None:
    """For the next statement, and for the commit."""

    async def be_cut() -> None:
        async with ledger.begin() as session:
            await add_by_text(session, "cut")
            own = await session.scalar(OWN)
            async with ledger.look() as other:
                await other.execute(CUT, {"pid": own})
            if goes_on:
                await add_by_text(session, "late")

    with pytest.raises(Silent):
        await be_cut()
    assert not {"cut", "late"} & await names(ledger)
