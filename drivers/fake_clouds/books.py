"""What a fake cloud wrote down of its own: the only judge of how often something ran."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    SUBMITTED = "submitted"
    EXECUTED = "executed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Entry:
    """`handle` is the client's own name for the work: a client token, a job tag, a job name."""

    kind: Kind
    job: str
    handle: str
    at: str


class Books:
    """Append-only; in a file too, where one is given, one JSON object a line."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.entries: list[Entry] = []

    def write(self, kind: Kind, job: str, handle: str) -> None:
        entry = Entry(kind, job, handle, datetime.now(UTC).isoformat())
        self.entries.append(entry)
        if self._path is not None:
            with self._path.open("a") as book:
                book.write(json.dumps(asdict(entry)) + "\n")

    def count(self, kind: Kind) -> Counter[str]:
        """How often, by handle."""
        return Counter(entry.handle for entry in self.entries if entry.kind is kind)

    @property
    def executed_twice(self) -> list[str]:
        """Handles of work that ran more than once: money spent for nothing."""
        return [handle for handle, times in self.count(Kind.EXECUTED).items() if times > 1]
