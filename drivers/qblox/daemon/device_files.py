"""Every device file that was ever in force on a rack: which, since when, and by whom."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from qpuflow.domain.errors import OperatorNeeded

SCHEMA = """
CREATE TABLE IF NOT EXISTS device_files (
  hash TEXT PRIMARY KEY,
  content TEXT NOT NULL,
  since REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS device_versions (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  hash TEXT NOT NULL REFERENCES device_files (hash),
  since REAL NOT NULL,
  who TEXT NOT NULL
);
INSERT INTO device_versions (hash, since, who)
  SELECT hash, since, 'not recorded' FROM device_files
  WHERE NOT EXISTS (SELECT 1 FROM device_versions) ORDER BY since;
"""
"""Its last statement brings along what an earlier journal has."""


@dataclass(frozen=True, slots=True)
class Version:
    """One that came into force. The same content may come back under another number."""

    number: int
    hash: str
    since: datetime
    who: str


@contextmanager
def reading(journal: Path) -> Generator[sqlite3.Connection]:
    """While a daemon writes to it, or none does; nothing in it changes."""
    try:
        address = f"{journal.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise OperatorNeeded(
            f"The rack's journal cannot be read: {error}",
            where=str(journal),
            remedy="Is it this qpuflow's daemon that runs there? Start it, and try again.",
        ) from error


def note(connection: sqlite3.Connection, digest: str, content: str, who: str) -> None:
    """Unless it is in force already. Within the caller's transaction."""
    latest = connection.execute(
        "SELECT hash FROM device_versions ORDER BY number DESC LIMIT 1"
    ).fetchone()
    if latest == (digest,):
        return
    now = time.time()
    connection.execute(
        "INSERT OR IGNORE INTO device_files (hash, content, since) VALUES (?, ?, ?)",
        (digest, content, now),
    )
    connection.execute(
        "INSERT INTO device_versions (hash, since, who) VALUES (?, ?, ?)", (digest, now, who)
    )


def versions(connection: sqlite3.Connection) -> Sequence[Version]:
    """The oldest first."""
    rows = connection.execute("SELECT number, hash, since, who FROM device_versions")
    return [Version(n, digest, datetime.fromtimestamp(at, UTC), who) for n, digest, at, who in rows]


def content_of(connection: sqlite3.Connection, number: int) -> str | None:
    """The file of that version, as JSON."""
    row = connection.execute(
        "SELECT content FROM device_files JOIN device_versions USING (hash) WHERE number = ?",
        (number,),
    ).fetchone()
    return row and row[0]
