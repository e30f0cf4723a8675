"""Statements that are written as text, in asyncpg's words: $1 for :name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy import TextClause, TextualSelect
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.engine import Result
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

Statement = TextClause | TextualSelect
_Process = Callable[[Any], Any]
_DIALECT = dialect()
_KEPT = 1024
"""Texts: more than there are."""
_SOME_COLUMN = ("none",)
"""Of a result without rows nobody asks which columns it has not."""


@dataclass(frozen=True, slots=True)
class Translated:
    """`bound` and `read`: what becomes of values with a type of their own, on either way."""

    sql: str
    names: Sequence[str]
    given: Mapping[str, Any]
    bound: Mapping[str, _Process]
    read: Mapping[str, _Process]

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        found = [values[name] if name in values else self.given[name] for name in self.names]
        if not self.bound:
            return found
        return [
            self.bound[name](value) if name in self.bound else value
            for name, value in zip(self.names, found, strict=True)
        ]

    def result(self, records: Sequence[asyncpg.Record]) -> Result[Any]:
        keys = tuple(records[0].keys()) if records else tuple(self.read) or _SOME_COLUMN
        if not self.read:
            return IteratorResult(SimpleResultMetaData(keys), iter(records))
        rows = [[self._value(key, one[key]) for key in keys] for one in records]
        return IteratorResult(SimpleResultMetaData(keys), iter(rows))

    def _value(self, key: str, value: Any) -> Any:
        return self.read[key](value) if key in self.read else value


@lru_cache(_KEPT)
def translated(statement: Statement) -> Translated:
    """Its columns may have types that mean the same to every driver, as JSON."""
    compiled = statement.compile(dialect=_DIALECT)
    binds = compiled.binds
    columns = statement.selected_columns if isinstance(statement, TextualSelect) else ()
    bound = {
        name: one.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)
        for name, one in binds.items()
    }
    read = {
        one.key: one.type.dialect_impl(_DIALECT).result_processor(_DIALECT, None) for one in columns
    }
    return Translated(
        str(compiled),
        list(compiled.positiontup or ()),
        {name: one.value for name, one in binds.items() if not one.required},
        {name: one for name, one in bound.items() if one is not None},
        {key: one for key, one in read.items() if one is not None},
    )
