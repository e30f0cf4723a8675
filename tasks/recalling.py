"""What an earlier carrier handed to a QPU.

The intent has its hash, and what a program was compiled to is kept, for every target, as long as a
job has the program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.digest import digest
from qpuflow.domain.errors import Unavailable
from qpuflow.domain.job import JobState
from qpuflow.domain.pieces import outline
from qpuflow.ledger import intents, programs
from qpuflow.ledger.programs import CacheKey, StoredPiece, StoredProgram
from qpuflow.tasks.compiling import key_of
from qpuflow.tasks.work import Carrying, Work

_Keys = tuple[CacheKey, ...]


def content_hash(work: Work, payload_hashes: Sequence[Sequence[str]]) -> str:
    """Of all that is handed to a QPU; the circuits by program."""
    return digest(
        {
            "shots": work.job.shots,
            "parts": [list(parts) for parts in payload_hashes],
            "points": [list(one.program.parameters) for one in work.programs],
        }
    )


async def recalled(carrying: Carrying, session: AsyncSession, works: Sequence[Work]) -> list[Work]:
    """With the circuits that were handed over, whatever the device has become since.

    Without any where the ledger has them no more.
    """
    if not works:
        return []
    handovers = await intents.find(session, [work.job for work in works])
    wanted = {work.job.id: [key_of(carrying, work, one) for one in work.programs] for work in works}
    ever = await programs.ever_compiled(session, {key for keys in wanted.values() for key in keys})
    given = {
        work.job.id: _given(work, wanted[work.job.id], ever, handovers[work.job.id].content_hash)
        for work in works
        if work.job.id in handovers
    }
    keys = {key for keys in given.values() for key in keys}
    parts = await programs.cached(carrying.ledger, session, keys)
    return [_with_parts(work, given.get(work.job.id, ()), parts) for work in works]


def _given(
    work: Work, keys: Sequence[CacheKey], ever: Mapping[CacheKey, Sequence[str]], wanted: str
) -> _Keys:
    """As `keys`, for the target that the device had then."""
    for target in dict.fromkeys(key.target_hash for key in ever):
        then = tuple(replace(key, target_hash=target) for key in keys)
        circuits = [ever[key] for key in then if key in ever]
        if content_hash(work, circuits) == wanted:
            return then
    return ()


def _with_parts(work: Work, keys: _Keys, parts: Mapping[CacheKey, tuple[StoredPiece, ...]]) -> Work:
    if not keys or any(key not in parts for key in keys):
        return work
    return replace(work, parts=tuple(parts[key] for key in keys))


async def outlined(carrying: Carrying, work: Work) -> Work:
    """With what it takes to read its result, where nobody knows any more what gave it."""
    try:
        parts = [await _outline(carrying, stored) for stored in work.programs]
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001  whatever is wrong with a program fails one job
        token = intents.token_of(work.job)
        why = f"The result of {token} cannot be read, as its program cannot: {error}"
        return work.ended(JobState.FAILED, why)
    return replace(work, parts=tuple(parts), is_outline=True)


async def _outline(carrying: Carrying, stored: StoredProgram) -> tuple[StoredPiece, ...]:
    if stored.unreadable is not None:
        raise stored.unreadable
    pieces = await carrying.compilers.run(outline, stored.program)
    return tuple(StoredPiece("", piece) for piece in pieces)
