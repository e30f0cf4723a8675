"""A connection of SQLAlchemy's pool on which asyncpg is asked without SQLAlchemy between."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

_INTEGRITY = "23"
"""How SQLSTATE begins where a constraint was violated."""
_OVER = ("08", "57P")
"""The same where the connection has ended, or is about to."""


class Line:
    """Taken from the pool when there is something to ask, and then in a transaction.

    With `alone` every statement is by itself: it has its own connection, for as long as it takes.
    """

    def __init__(self, engine: AsyncEngine, *, alone: bool) -> None:
        self._engine = engine
        self._alone = alone
        self._proxy: PoolProxiedConnection | None = None
        self._transaction: Any = None
        self._joined: Connection | None = None

    @property
    def is_open(self) -> bool:
        return self._proxy is not None

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> list[asyncpg.Record]:
        if self._alone:
            return await self._fetch_alone(sql, arguments)
        if self._proxy is None:
            self._proxy = await self._engine.raw_connection()
            self._transaction = _driver(self._proxy).transaction(isolation="read_committed")
            await _asked("BEGIN", self._transaction.start)
        return await _asked(sql, _driver(self._proxy).fetch, sql, *arguments)

    async def _fetch_alone(self, sql: str, arguments: Sequence[Any]) -> list[asyncpg.Record]:
        proxy, answered = await self._engine.raw_connection(), False
        try:
            records = await _asked(sql, _driver(proxy).fetch, sql, *arguments)
            answered = True
        except DBAPIError as error:
            answered = not error.connection_invalidated
            raise
        finally:
            await _give_back(proxy, is_sound=answered)
        return records

    def joined(self) -> Connection | None:
        """For SQLAlchemy's own statements in the same transaction: theirs is a savepoint in it."""
        if self._proxy is not None and self._joined is None:
            self._joined = Connection(self._engine.sync_engine, connection=self._proxy)
        return self._joined

    async def commit(self) -> None:
        await self._end("COMMIT")

    async def roll_back(self) -> None:
        """Also where that has no answer: then it ends with the connection."""
        with contextlib.suppress(DBAPIError, OSError):
            await self._end("ROLLBACK")

    async def _end(self, how: str) -> None:
        if self._proxy is None:
            return
        proxy, self._proxy, answered = self._proxy, None, False
        end = self._transaction.commit if how == "COMMIT" else self._transaction.rollback
        try:
            await _asked(how, end)
            answered = True
        finally:
            await _give_back(proxy, is_sound=answered)


def _driver(proxy: PoolProxiedConnection) -> Any:
    driver = proxy.driver_connection
    assert driver is not None
    return driver


async def _give_back(proxy: PoolProxiedConnection, *, is_sound: bool) -> None:
    """What was left open on one that is not sound ends with it."""
    if not is_sound:
        await greenlet_spawn(proxy.invalidate)
    await greenlet_spawn(proxy.close)


async def _asked(sql: str, ask: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """With the driver's errors as those of SQLAlchemy, by which they are known."""
    try:
        return await ask(*arguments)
    except asyncpg.PostgresError as error:
        state = str(getattr(error, "sqlstate", None))
        if state.startswith(_INTEGRITY):
            raise IntegrityError(sql, None, error) from error
        is_over = state.startswith(_OVER)
        raise DBAPIError(sql, None, error, connection_invalidated=is_over) from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        # The second one, too, is all that it says of a connection that was just cut.
        raise InterfaceError(sql, None, error, connection_invalidated=True) from error
