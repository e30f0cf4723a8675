"""What the ledger is asked, statement by statement."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import asyncpg
from sqlalchemy import Engine, event

from qpuflow.ledger.line import Line


@dataclass
class Statements:
    """`texts` went to asyncpg themselves, the others by SQLAlchemy."""

    texts: list[str] = field(default_factory=list[str])
    others: list[str] = field(default_factory=list[str])


@contextmanager
def listening() -> Generator[Statements]:
    """All that this process asks within the block."""
    asked, fetch = Statements(), Line.fetch

    async def noted(line: Line, sql: str, arguments: Sequence[Any]) -> list[asyncpg.Record]:
        asked.texts.append(sql)
        return await fetch(line, sql, arguments)

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.others.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        with patch.object(Line, "fetch", noted):
            yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)
