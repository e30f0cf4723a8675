"""A session that hands what is written as text to asyncpg itself.

Most of what a job costs its engine and its client are round trips, and most of such a round trip
was SQLAlchemy's, which has nothing to translate there. All else goes its usual way, in the same
transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import TextClause, TextualSelect
from sqlalchemy.engine import Result
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from qpuflow.ledger.line import Line
from qpuflow.ledger.texts import Statement, translated


class _Joining(Session):
    """Speaks on the line's connection once there is one."""

    line: Line | None = None

    def get_bind(self, *arguments: Any, **options: Any) -> Any:
        joined = self.line.joined() if self.line is not None else None
        return joined if joined is not None else super().get_bind(*arguments, **options)


class LedgerSession(AsyncSession):
    """An `AsyncSession` in all but the way that a text takes."""

    sync_session_class = _Joining

    def __init__(self, engine: AsyncEngine, *, alone: bool = False) -> None:
        """`alone`: each statement is by itself, as `engine` has it for those of SQLAlchemy."""
        super().__init__(engine, expire_on_commit=False)
        self._line = Line(engine, alone=alone)
        joining = self.sync_session
        assert isinstance(joining, _Joining)
        joining.line = self._line

    async def execute(self, statement: Any, params: Any = None, **options: Any) -> Result[Any]:
        if self._is_text(statement, params, options):
            return await self._fetch(statement, params or {})
        return await super().execute(statement, params, **options)

    async def scalar(self, statement: Any, params: Any = None, **options: Any) -> Any:
        if self._is_text(statement, params, options):
            return (await self._fetch(statement, params or {})).scalar()
        return await super().scalar(statement, params, **options)

    def _is_text(self, statement: Any, params: Any, options: Mapping[str, Any]) -> bool:
        """What SQLAlchemy has begun it also ends."""
        if not isinstance(statement, TextClause | TextualSelect) or any(options.values()):
            return False
        is_one = params is None or isinstance(params, Mapping)
        return is_one and (self._line.is_open or not self.sync_session.in_transaction())

    async def _fetch(self, statement: Statement, values: Mapping[str, Any]) -> Result[Any]:
        text = translated(statement)
        return text.result(await self._line.fetch(text.sql, text.arguments(values)))

    async def finish(self) -> None:
        """Commit what SQLAlchemy was told, and then all."""
        if self._has_told:
            await super().commit()
        await self._line.commit()

    async def abandon(self) -> None:
        try:
            if self._has_told:
                await super().rollback()
        finally:
            await self._line.roll_back()

    async def leave(self) -> None:
        if self._has_told:
            await super().close()

    @property
    def _has_told(self) -> bool:
        return self.sync_session.in_transaction() or bool(self.sync_session.new)
