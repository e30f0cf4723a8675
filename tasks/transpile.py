"""Step 1: every program in the QPU's native gates, from the cache where somebody was first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.compilers import Compiler
from qpuflow.domain.digest import digest
from qpuflow.domain.errors import InputError, OperatorNeeded
from qpuflow.domain.job import JobState
from qpuflow.domain.pieces import Piece
from qpuflow.domain.request import Program
from qpuflow.ledger import programs
from qpuflow.ledger.payload_store import Stored
from qpuflow.ledger.programs import CacheKey, StoredPiece, StoredProgram
from qpuflow.tasks.compiling import compiled
from qpuflow.tasks.step import step
from qpuflow.tasks.work import Carrying, Chunk, Work

QPY = "application/vnd.qiskit.qpy"
COMPILER_REVISION = 3
"""Part of every cache key: raised when the same input must be compiled anew."""

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
    carrying = chunk.carrying
    async with carrying.ledger.look() as session:
        works = await _with_programs(carrying, session, chunk.active)
        wanted = {
            key_of(carrying, work, one): (one.program, work)
            for work in works
            if work.end is None
            for one in work.programs
        }
        parts = {key: carrying.compiled[key] for key in wanted if key in carrying.compiled}
        if unseen := wanted.keys() - parts.keys():
            parts |= await programs.cached(carrying.ledger, session, unseen)
    missing = {key: wanted[key] for key in wanted if key not in parts}
    tried = await asyncio.gather(*(_compile(carrying, *job) for job in missing.values()))
    answers = dict(zip(missing, tried, strict=True))
    if fresh := {key: one.answer for key, one in answers.items() if isinstance(one.answer, list)}:
        async with carrying.ledger.begin() as session:
            parts |= await programs.remember(carrying.ledger, session, fresh)
    carrying.compiled.clear()
    carrying.compiled.update(parts)
    return chunk.updated(
        work if work.end is not None else _with_parts(carrying, work, parts, answers)
        for work in works
    )


async def _with_programs(
    carrying: Carrying, session: AsyncSession, works: Sequence[Work]
) -> list[Work]:
    """A job fails alone where its program cannot be read."""
    stored = await programs.of_jobs(carrying.ledger, session, [work.job.id for work in works])
    return [_unless_unreadable(replace(w, programs=tuple(stored[w.job.id]))) for w in works]


def _unless_unreadable(work: Work) -> Work:
    for one in work.programs:
        if (error := one.unreadable) is not None:
            what = f"Program {one.program.name!r} cannot be read: {error.what}"
            return work.ended(
                JobState.FAILED, str(InputError(what, where=error.where, remedy=KEEP_ANEW))
            )
    return work


def key_of(carrying: Carrying, work: Work, stored: StoredProgram) -> CacheKey:
    chosen = work.job.options
    options: dict[str, Any] = {
        "revision": COMPILER_REVISION,
        "optimization_level": chosen.optimization_level,
        "seed": chosen.seed,
        "compiler": chosen.compiler and chosen.compiler.value,
        "observables": stored.program.observables,
        "format": stored.program.format,
    }
    if chosen.compiler is Compiler.BEST:
        options["budget_seconds"] = chosen.compile_budget_seconds
    return CacheKey(stored.program_hash, carrying.qpu.target_hash, digest(options))


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
