"""The connection to the ledger's PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Self

import asyncpg
from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from qpuflow.domain.errors import InputError, OperatorNeeded, Silent
from qpuflow.ledger.liveness import ask_the_idle
from qpuflow.ledger.payload_store import PayloadStore
from qpuflow.ledger.session import LedgerSession
from qpuflow.ledger.signals import Ears

HEAD = "0018"
"""The schema revision this code is written for."""
SERVED = {
    "jit": "off",
    "lock_timeout": "2min",
    "idle_in_transaction_session_timeout": "10min",
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "15",
    "tcp_keepalives_count": "4",
}
"""Compiling a query takes longer than any of ours. Whoever vanishes in the middle of a transaction,
with its host or its network, holds a QPU's row for two minutes, and not for hours."""
AT_LEISURE = text("SET LOCAL idle_in_transaction_session_timeout = 0")
"""First in a transaction that is only there to hold a lock while something else is done."""

_ADDRESS = "Set QPUFLOW_DATABASE_URL to postgresql://user:password@host/database."
COLLISIONS = frozenset({"40001", "40P01", "55P03"})
"""SQLSTATE of serialization failure, deadlock and lock timeout: rolled back, to be repeated."""


class Ledger:
    """An open ledger. Everything goes through `begin()`: one transaction, all or nothing."""

    def __init__(self, engine: AsyncEngine, relaxed: AsyncEngine, payloads: PayloadStore) -> None:
        self.engine = engine
        self._relaxed = relaxed
        self._at_once = {
            durable: one.execution_options(isolation_level="AUTOCOMMIT")
            for durable, one in ((True, engine), (False, relaxed))
        }
        self.payloads = payloads
        self.ears = Ears(engine.url)

    @classmethod
    async def open(cls, url: str, payload_url: str, *, pool_size: int = 5) -> Self:
        """Connect, and refuse a database of another schema revision."""
        engine, relaxed = (
            create_async_engine(
                async_url(url),
                pool_size=pool_size,
                connect_args={"server_settings": {**SERVED, **more}},
            )
            for more in ({}, {"synchronous_commit": "off"})
        )
        for one in (engine, relaxed):
            ask_the_idle(one)
        ledger = cls(engine, relaxed, PayloadStore(payload_url))
        try:
            await ledger._require_revision()
        except BaseException:
            await ledger.close()
            raise
        return ledger

    async def close(self) -> None:
        await self.ears.close()
        await self.engine.dispose()
        await self._relaxed.dispose()

    @asynccontextmanager
    async def begin(self, *, durable: bool = True) -> AsyncGenerator[AsyncSession]:
        """A transaction: committed at the end of the block, rolled back by any exception.

        One that is not `durable` does not wait for the disk, which is most of what a short one
        takes. Should PostgreSQL crash, the last tenths of a second of these are as if they had
        never been; never one that came before a durable one.

        Raises `Silent` when PostgreSQL does not answer; nothing was written then, unless
        the answer to the commit itself was lost.
        """
        with _said_plainly():
            engine = self.engine if durable else self._relaxed
            session = LedgerSession(engine)
            try:
                yield session
                await session.finish()
            except BaseException:
                await session.abandon()
                raise
            finally:
                await session.leave()

    @asynccontextmanager
    async def look(self, *, durable: bool = True) -> AsyncGenerator[AsyncSession]:
        """Each statement by itself: without the two round trips that make a transaction.

        For reading, and for what is written by a single statement.
        """
        with _said_plainly():
            engine = self._at_once[durable]
            session = LedgerSession(engine, alone=True)
            try:
                yield session
            finally:
                await session.leave()

    async def _require_revision(self) -> None:
        async with self.begin() as session:
            known = await session.scalar(text("SELECT to_regclass('alembic_version') IS NOT NULL"))
            found = (
                await session.scalar(text("SELECT version_num FROM alembic_version"))
                if known
                else None
            )
        if found != HEAD:
            raise OperatorNeeded(
                f"The ledger has schema revision {found or 'none'}, this qpuflow needs {HEAD}",
                remedy="Run `qpuflow up`, which migrates it, or install the matching version.",
            )


def async_url(url: str) -> URL:
    """Raises `InputError`, which does not show it: it has a password."""
    try:
        given = make_url(url)
    except ArgumentError as error:
        raise InputError("The ledger's address is none", remedy=_ADDRESS) from error
    if given.get_backend_name() not in ("postgresql", "postgres"):
        what = f"The ledger is kept in PostgreSQL, not in {given.get_backend_name()}"
        raise InputError(what, remedy=_ADDRESS)
    return given.set(drivername="postgresql+asyncpg")


@contextmanager
def _said_plainly() -> Generator[None]:
    """What the block raises because PostgreSQL does not answer, as `Silent`."""
    try:
        yield
    except (OSError, PoolTimeout) as error:
        raise _silent(error) from error
    except asyncpg.PostgresError as error:
        # Connecting failed: SQLAlchemy hands these on as they are.
        raise _silent(error) from error
    except DBAPIError as error:
        if error.connection_invalidated or isinstance(error, InterfaceError):
            raise _silent(error) from error
        if str(getattr(error.orig, "sqlstate", None)) in COLLISIONS:
            raise Silent("Two transactions were in each other's way") from error
        raise


def _silent(error: BaseException) -> Silent:
    words = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Silent(
        f"The ledger's database does not answer: {words}",
        remedy="Nothing was lost; see `qpuflow doctor`.",
    )
