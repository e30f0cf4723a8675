"""Step 1: every program in the QPU's native gates, from the cache where somebody was first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.errors import InputError, OperatorNeeded
from qpuflow.domain.job import JobState
from qpuflow.domain.pieces import Piece
from qpuflow.domain.request import Program
from qpuflow.ledger import programs
from qpuflow.ledger.payload_store import Stored
from qpuflow.ledger.programs import CacheKey, StoredPiece
from qpuflow.tasks.compiling import compiled, key_of
from qpuflow.tasks.recalling import outlined, recalled
from qpuflow.tasks.step import step
from qpuflow.tasks.work import Carrying, Chunk, Work

QPY = "application/vnd.qiskit.qpy"
KEEP_ANEW = "Submit it again: that keeps its source anew. Or restore the file."

Parts = tuple[StoredPiece, ...]
Answer = list[tuple[Stored, Piece]] | InputError


@dataclass(frozen=True, slots=True)
class Compilation:
    """What came of compiling one program, and how long it took."""

    answer: Answer
    seconds: float


@step("transpile")
async def transpile(chunk: Chunk) -> Chunk:
    """What a QPU may have is not compiled again: the device may have become another since."""
    carrying = chunk.carrying
    async with carrying.ledger.look() as session:
        works = await _with_programs(carrying, session, chunk.active)
        handed_over = [work for work in works if work.job.state.may_be_at_qpu]
        before = await recalled(carrying, session, handed_over)
        new = [_unless_unreadable(work) for work in works if not work.job.state.may_be_at_qpu]
        good = [work for work in new if work.end is None]
        wanted = {key_of(carrying, w, one): (one.program, w) for w in good for one in w.programs}
        parts = await _known(carrying, session, wanted.keys())
    missing = {key: one for key, one in wanted.items() if key not in parts}
    tried = await asyncio.gather(*(_compile(carrying, *one) for one in missing.values()))
    answers = dict(zip(missing, tried, strict=True))
    parts |= await _remembered(carrying, answers)
    ready = [_with_parts(carrying, work, parts, answers) for work in good]
    forgotten = [await outlined(carrying, work) for work in before if not work.parts]
    return chunk.updated([*before, *new, *ready, *forgotten])


async def _known(
    carrying: Carrying, session: AsyncSession, keys: Set[CacheKey]
) -> dict[CacheKey, Parts]:
    """What was compiled before, by this carrier or by anybody."""
    parts = {key: carrying.compiled[key] for key in keys if key in carrying.compiled}
    if unseen := keys - parts.keys():
        parts |= await programs.cached(carrying.ledger, session, unseen)
    carrying.compiled.clear()
    carrying.compiled.update(parts)
    return parts


async def _remembered(
    carrying: Carrying, answers: Mapping[CacheKey, Compilation]
) -> dict[CacheKey, Parts]:
    fresh = {key: one.answer for key, one in answers.items() if isinstance(one.answer, list)}
    if not fresh:
        return {}
    async with carrying.ledger.begin() as session:
        parts = await programs.remember(carrying.ledger, session, fresh)
    carrying.compiled.update(parts)
    return parts


async def _with_programs(
    carrying: Carrying, session: AsyncSession, works: Sequence[Work]
) -> list[Work]:
    stored = await programs.of_jobs(carrying.ledger, session, [work.job.id for work in works])
    return [replace(work, programs=tuple(stored[work.job.id])) for work in works]


def _unless_unreadable(work: Work) -> Work:
    """A job fails alone where its program cannot be read."""
    for one in work.programs:
        if (error := one.unreadable) is not None:
            what = f"Program {one.program.name!r} cannot be read: {error.what}"
            return work.ended(
                JobState.FAILED, str(InputError(what, where=error.where, remedy=KEEP_ANEW))
            )
    return work


async def _compile(carrying: Carrying, program: Program, work: Work) -> Compilation:
    began = time.perf_counter()
    answer = await _answer(carrying, program, work)
    return Compilation(answer, time.perf_counter() - began)


async def _answer(carrying: Carrying, program: Program, work: Work) -> Answer:
    """Compiled pieces with their places, or why it cannot be compiled."""
    try:
        pieces = await compiled(carrying, program, work)
    except InputError as error:
        return error
    except OperatorNeeded as error:
        return InputError(error.what, where=program.name, remedy=error.remedy)
    except Exception as error:  # noqa: BLE001  a compiler that breaks, or its process, fails one job
        return InputError(f"Compiling failed: {error!r}", where=program.name)
    return [(await carrying.ledger.payloads.keep(p.compiled.qpy, QPY), p) for p in pieces]


def _with_parts(
    carrying: Carrying,
    work: Work,
    parts: dict[CacheKey, Parts],
    answers: dict[CacheKey, Compilation],
) -> Work:
    keys = [key_of(carrying, work, one) for one in work.programs]
    mine = [answers[key] for key in keys if key in answers]
    work = work.timed("transpile", sum(one.seconds for one in mine))
    for one in mine:
        if isinstance(one.answer, InputError):
            return work.ended(JobState.FAILED, str(one.answer))
    if any(key not in parts for key in keys):
        return work.ended(JobState.FAILED, str(_lost(carrying)))
    return replace(work, parts=tuple(parts[key] for key in keys))


def _lost(carrying: Carrying) -> OperatorNeeded:
    return OperatorNeeded(
        "What it was compiled to is kept, and cannot be read",
        where=carrying.ledger.payloads.url,
        remedy="Restore the files there, or choose another seed.",
    )
