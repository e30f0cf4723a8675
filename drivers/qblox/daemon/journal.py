"""What the rack accepted, on disk before it is acknowledged.

SQLite with a synchronous write-ahead log: one writer, no server, and a power cut loses nothing
that was said to be accepted. Results stay until a ledger has said that it has them, and for
`KEPT_DAYS` more: one that was restored from its backup may ask again. Where the room that the
journal may take is full, those days end early; where that is not enough, nothing more is accepted.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qpuflow.domain.errors import InputError, Refused
from qpuflow.drivers.base import RemoteState
from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.daemon import file_history
from qpuflow.drivers.qblox.daemon.file_history import Kind
from qpuflow.drivers.qblox.link.errors import StaleLease

KEPT_DAYS = 7
OVERDUE_SECONDS = 3600.0
"""After which whoever asks is told what nobody has confirmed."""
PAGE = 1000
"""Tokens of one answer."""
FORGOTTEN_DAYS = 90
"""After which not even the token of a confirmed job is known any more."""
MOST_BYTES = 20 * 10**9
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  token TEXT PRIMARY KEY,
  number INTEGER NOT NULL UNIQUE,
  fencing_token INTEGER NOT NULL,
  state TEXT NOT NULL,
  message TEXT NOT NULL DEFAULT '',
  request BLOB NOT NULL,
  results BLOB,
  executions INTEGER NOT NULL DEFAULT 0,
  ended REAL,
  confirmed REAL
);
CREATE TABLE IF NOT EXISTS closed (token TEXT PRIMARY KEY);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, number);
CREATE INDEX IF NOT EXISTS jobs_by_lease ON jobs (fencing_token);
CREATE INDEX IF NOT EXISTS jobs_kept ON jobs (confirmed, ended) WHERE request <> x'';
CREATE INDEX IF NOT EXISTS jobs_emptied ON jobs (confirmed) WHERE request = x'';
"""
CUT_OFF = "The rack's daemon ended while it ran; it is not run again"


@dataclass(frozen=True, slots=True)
class Standing:
    """What everybody who waits for a job asks for, and often: not what is large of it."""

    number: int
    state: RemoteState
    message: str

    @property
    def ticket(self) -> str:
        return f"rack-{self.number}"


@dataclass(frozen=True, slots=True)
class Entry(Standing):
    token: str
    request: bytes
    results: bytes | None


class Journal:
    """Of one rack. Used from one thread. `most_bytes`: of requests and results together."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(_SCHEMA + file_history.SCHEMA)
        columns = self._connection.execute("PRAGMA table_info(closed)").fetchall()
        if "at" not in [column[1] for column in columns]:
            self._connection.execute("ALTER TABLE closed ADD COLUMN at REAL")
        self._connection.execute("CREATE INDEX IF NOT EXISTS closed_by_time ON closed (at)")
        self._kept_bytes = self._count_bytes()

    def accept(
        self, token: str, fencing_token: int, request: bytes, *, reopen: bool = False
    ) -> Entry:
        """The entry of this token, new or old: a request that comes twice is one job.

        `StaleLease` where a higher fencing token was seen; `Refused` where nothing can be written,
        the journal is full, or the token is closed; `InputError` where it is too large for SQLite.
        """
        if known := self.find(token):
            return known
        self._make_room(len(request))
        with self._transaction():
            if not reopen and self._is_closed(token):
                raise Refused("The rack was asked for this job before it came, and said so")
            highest, count = self._connection.execute(
                "SELECT (SELECT coalesce(max(fencing_token), 0) FROM jobs), "
                "(SELECT coalesce(max(number), 0) FROM jobs)"
            ).fetchone()
            if fencing_token < highest:
                raise StaleLease(
                    f"Lease {fencing_token} is over: the rack has obeyed lease {highest} since"
                )
            self._connection.execute(
                "INSERT INTO jobs (token, number, fencing_token, state, request) "
                "VALUES (?, ?, ?, ?, ?)",
                (token, count + 1, fencing_token, RemoteState.QUEUED, request),
            )
        self._kept_bytes += len(request)
        return Entry(count + 1, RemoteState.QUEUED, "", token, request, None)

    def standing(self, token: str) -> Standing | None:
        query = "SELECT number, state, message FROM jobs WHERE token = ?"
        row = self._connection.execute(query, (token,)).fetchone()
        return row and Standing(row[0], RemoteState(row[1]), row[2])

    def find(self, token: str) -> Entry | None:
        row = self._connection.execute(
            "SELECT number, state, message, token, request, results FROM jobs WHERE token = ?",
            (token,),
        ).fetchone()
        return row and Entry(row[0], RemoteState(row[1]), *row[2:])

    def next_waiting(self) -> Entry | None:
        """What `begin_next` would begin."""
        row = self._connection.execute(
            "SELECT token FROM jobs WHERE state = ? ORDER BY number LIMIT 1", (RemoteState.QUEUED,)
        ).fetchone()
        return self.find(row[0]) if row else None

    def close_token(self, token: str) -> None:
        """Accept it no more, unless it has been accepted."""
        with self._transaction():
            if self.standing(token) is None:
                self._connection.execute(
                    "INSERT OR IGNORE INTO closed (token, at) VALUES (?, ?)", (token, time.time())
                )

    def _is_closed(self, token: str) -> bool:
        query = "SELECT 1 FROM closed WHERE token = ?"
        return self._connection.execute(query, (token,)).fetchone() is not None

    def begin_next(self) -> Entry | None:
        """The oldest that waits, now running. From here on it is never run again."""
        with self._transaction():
            row = self._connection.execute(
                "UPDATE jobs SET state = ?, executions = executions + 1 WHERE number = "
                "(SELECT min(number) FROM jobs WHERE state = ?) RETURNING token",
                (RemoteState.RUNNING, RemoteState.QUEUED),
            ).fetchone()
        return self.find(row[0]) if row else None

    def end(
        self, token: str, state: RemoteState, message: str = "", results: bytes | None = None
    ) -> bool:
        """False where it had ended already. `InputError` where it is too large for SQLite."""
        with self._transaction():
            done = self._connection.execute(
                "UPDATE jobs SET state = ?, message = ?, results = ?, ended = ? "
                "WHERE token = ? AND state IN (?, ?)",
                (
                    state,
                    message,
                    results,
                    time.time(),
                    token,
                    RemoteState.QUEUED,
                    RemoteState.RUNNING,
                ),
            )
        has_ended = done.rowcount == 1
        self._kept_bytes += len(results or b"") * has_ended
        return has_ended

    def cut_off(self) -> None:
        """What ran when the daemon last ended: whether it played is not known, so it has failed."""
        with self._transaction():
            self._connection.execute(
                "UPDATE jobs SET state = ?, message = ?, ended = ? WHERE state = ?",
                (RemoteState.FAILED, CUT_OFF, time.time(), RemoteState.RUNNING),
            )

    def confirm(self, tokens: Sequence[str]) -> None:
        """Their results are kept elsewhere, too. Nothing happens to what has not ended."""
        now = time.time()
        with self._transaction():
            self._connection.executemany(
                "UPDATE jobs SET confirmed = ? "
                "WHERE token = ? AND ended IS NOT NULL AND confirmed IS NULL",
                [(now, token) for token in tokens],
            )
            self._forget(now - FORGOTTEN_DAYS * 86400)
        expired = self._connection.execute(
            "SELECT number, length(request) + coalesce(length(results), 0) FROM jobs "
            "WHERE confirmed < ? AND request <> x''",
            (now - KEPT_DAYS * 86400,),
        ).fetchall()
        self._drop(expired)

    def unconfirmed(
        self, overdue_seconds: float = OVERDUE_SECONDS, *, after: int = 0
    ) -> list[tuple[int, str]]:
        """Number and token of jobs that ended so long ago and that nobody has confirmed.

        At most a page of them, in the order of their numbers, those above `after`.
        """
        return self._connection.execute(
            "SELECT number, token FROM jobs WHERE confirmed IS NULL AND ended < ? "
            "AND request <> x'' AND number > ? ORDER BY number LIMIT ?",
            (time.time() - overdue_seconds, after, PAGE),
        ).fetchall()

    def note_device_file(self, configuration: Configuration, who: str) -> None:
        content = configuration.device.model_dump_json()
        self._note(Kind.DEVICE, configuration.device_hash, content, who)

    def note_hardware_file(self, configuration: Configuration, who: str) -> None:
        content = configuration.hardware.model_dump_json()
        self._note(Kind.HARDWARE, configuration.hardware_hash, content, who)

    def _note(self, kind: Kind, digest: str, content: str, who: str) -> None:
        with self._transaction():
            file_history.note(self._connection, kind, digest, content, who)

    def executions(self) -> dict[str, int]:
        """How often each token was begun."""
        return dict(self._connection.execute("SELECT token, executions FROM jobs").fetchall())

    def leases(self) -> list[tuple[str, int]]:
        """Each token with the lease under which it was accepted, in that order."""
        query = "SELECT token, fencing_token FROM jobs ORDER BY number"
        return self._connection.execute(query).fetchall()

    def waiting(self) -> int:
        query = "SELECT count(*) FROM jobs WHERE state = ?"
        return int(self._connection.execute(query, (RemoteState.QUEUED,)).fetchone()[0])

    def close(self) -> None:
        self._connection.close()

    def _make_room(self, size: int) -> None:
        """For one more request. Results go early only where their ledger has them."""
        while self._kept_bytes + size > self._most_bytes:
            oldest = self._connection.execute(
                "SELECT number, length(request) + coalesce(length(results), 0) FROM jobs "
                "WHERE confirmed IS NOT NULL AND request <> x'' ORDER BY confirmed LIMIT 100"
            ).fetchall()
            if not oldest:
                raise Refused(
                    f"The rack keeps {self._kept_bytes / 1e6:,.0f} MB of jobs and results that no "
                    f"ledger has confirmed, and may keep {self._most_bytes / 1e6:,.0f} MB",
                    remedy="Run the deployment sync-devices, or raise keep_gigabytes in rack.toml.",
                )
            self._drop(oldest)

    def _drop(self, numbers_and_bytes: Sequence[tuple[int, int]]) -> None:
        with self._transaction():
            self._connection.executemany(
                "UPDATE jobs SET results = NULL, request = x'' WHERE number = ?",
                [(number,) for number, _ in numbers_and_bytes],
            )
        self._kept_bytes -= sum(size for _, size in numbers_and_bytes)

    def _count_bytes(self) -> int:
        """Once: it reads every row."""
        query = "SELECT total(length(request) + coalesce(length(results), 0)) FROM jobs"
        return int(self._connection.execute(query).fetchone()[0])

    def _forget(self, before: float) -> None:
        """All but the newest job and the highest lease, by which later ones are judged."""
        self._connection.execute(
            "DELETE FROM jobs WHERE confirmed < ? AND request = x'' "
            "AND number < (SELECT max(number) FROM jobs) "
            "AND fencing_token < (SELECT max(fencing_token) FROM jobs)",
            (before,),
        )
        self._connection.execute("DELETE FROM closed WHERE at < ?", (before,))

    @contextmanager
    def _transaction(self) -> Generator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:  # on a full disk SQLite ends it itself
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.DataError as error:
            raise InputError(f"It is more than the rack's journal takes: {error}") from error
        except sqlite3.Error as error:
            raise Refused(
                f"The rack's journal cannot be written: {error}",
                remedy="Look at the disk of the rack's host.",
            ) from error
