"""Every device and hardware file that was ever in force on a rack: since when, and by whom."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from qpuflow.domain.errors import OperatorNeeded


class Kind(StrEnum):
    DEVICE = "device"
    HARDWARE = "hardware"


_TABLES = """
CREATE TABLE IF NOT EXISTS {kind}_files (
  hash TEXT PRIMARY KEY,
  content TEXT NOT NULL,
  since REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS {kind}_versions (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  hash TEXT NOT NULL REFERENCES {kind}_files (hash),
  since REAL NOT NULL,
  who TEXT NOT NULL
);
"""
_OF_EARLIER_JOURNALS = """
INSERT INTO device_versions (hash, since, who)
  SELECT hash, since, 'not recorded' FROM device_files
  WHERE NOT EXISTS (SELECT 1 FROM device_versions) ORDER BY since;
"""
SCHEMA = "".join(_TABLES.format(kind=kind) for kind in Kind) + _OF_EARLIER_JOURNALS


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


def note(connection: sqlite3.Connection, kind: Kind, digest: str, content: str, who: str) -> None:
    """Unless it is in force already. Within the caller's transaction."""
    latest = connection.execute(
        f"SELECT hash FROM {kind}_versions ORDER BY number DESC LIMIT 1"  # noqa: S608  our own word
    ).fetchone()
    if latest == (digest,):
        return
    now = time.time()
    connection.execute(
        f"INSERT OR IGNORE INTO {kind}_files (hash, content, since) VALUES (?, ?, ?)",  # noqa: S608
        (digest, content, now),
    )
    connection.execute(
        f"INSERT INTO {kind}_versions (hash, since, who) VALUES (?, ?, ?)",  # noqa: S608
        (digest, now, who),
    )


def versions(connection: sqlite3.Connection, kind: Kind) -> Sequence[Version]:
    """The oldest first."""
    query = f"SELECT number, hash, since, who FROM {kind}_versions"  # noqa: S608
    rows = connection.execute(query)
    return [Version(n, digest, datetime.fromtimestamp(at, UTC), who) for n, digest, at, who in rows]


def content_of(connection: sqlite3.Connection, kind: Kind, number: int) -> str | None:
    """The file of that version, as JSON."""
    row = connection.execute(
        f"SELECT content FROM {kind}_files JOIN {kind}_versions USING (hash) WHERE number = ?",  # noqa: S608
        (number,),
    ).fetchone()
    return row and row[0]
