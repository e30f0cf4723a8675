"""What one submission found out and the next one of the same caller need not ask again."""

from __future__ import annotations

import time
from functools import lru_cache

from qpuflow.domain.freshness import BELIEVED_SECONDS
from qpuflow.domain.parsing import ParsedProgram, parse
from qpuflow.domain.request import Program, ProgramFormat
from qpuflow.ledger import qpus
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.qpus import RegisteredQpu

MOST_PROGRAMS = 8
"""A loop runs a few programs with many values; a parsed one may take megabytes."""


class Known:
    """For one caller after the other."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._qpus: dict[str, tuple[float, RegisteredQpu]] = {}
        self._parse = lru_cache(maxsize=MOST_PROGRAMS)(_parse)
        self._latest: Program | None = None

    async def qpu(self, name: str) -> RegisteredQpu:
        """Raises `NotFound` with the names that there are."""
        known = self._qpus.get(name)
        if known is None or time.monotonic() - known[0] > BELIEVED_SECONDS:
            async with self._ledger.begin() as session:
                known = time.monotonic(), await qpus.find(session, name)
            self._qpus[name] = known
        return known[1]

    def parse(self, program: Program) -> ParsedProgram:
        """The same text again costs nothing, whatever its values. Raises `ProgramError`."""
        parsed = self._parse(program.name, program.source, program.format)
        self._latest = program
        return parsed

    def is_latest(self, program: Program) -> bool:
        """Whether it was parsed just now: a loop's next value of the same text."""
        last = self._latest
        return last is not None and (last.name, last.source, last.format) == (
            program.name,
            program.source,
            program.format,
        )


def _parse(name: str, source: str, given: ProgramFormat | None) -> ParsedProgram:
    return parse(Program.model_construct(name=name, source=source, format=given))
