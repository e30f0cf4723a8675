"""Journals as tests fill and look at them."""

from __future__ import annotations

import sqlite3

from qpuflow.drivers.base import RemoteState
from qpuflow.drivers.qblox.daemon.journal import Journal


def connection_of(journal: Journal) -> sqlite3.Connection:
    return getattr(journal, "_connection")  # noqa: B009


def pages(journal: Journal, at_most: int | None = None) -> int:
    """How many the journal's file has; it may grow to `at_most`, as on a disk that is full."""
    connection = connection_of(journal)
    if at_most is not None:
        connection.execute(f"PRAGMA max_page_count = {at_most}")
    return connection.execute("PRAGMA page_count").fetchone()[0]


def done(journal: Journal, token: str, size: int) -> None:
    journal.accept(token, 1, b"r" * 10)
    journal.begin_next()
    journal.end(token, RemoteState.COMPLETED, results=b"x" * size)


def kept(journal: Journal, token: str) -> bool:
    entry = journal.find(token)
    assert entry is not None
    return entry.results is not None
