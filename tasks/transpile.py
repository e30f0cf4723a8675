"""Step 1: every program in the QPU's native gates, from the cache where somebody was first."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

from qpuflow.domain.errors import InputError
from qpuflow.domain.job import JobState
from qpuflow.domain.pieces import Piece, compile_program
from qpuflow.domain.request import Program, digest
from qpuflow.ledger import programs
from qpuflow.ledger.payload_store import Stored
from qpuflow.ledger.programs import CacheKey, StoredPiece, StoredProgram
from qpuflow.tasks.step import step
from qpuflow.tasks.work import Carrying, Chunk, Work

QPY = "application/vnd.qiskit.qpy"
COMPILER_REVISION = 2
"""Part of every cache key: raised when the same input must be compiled anew."""

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
        ids = [work.job.id for work in chunk.active]
        stored = await programs.of_jobs(carrying.ledger, session, ids)
        works = [replace(work, programs=tuple(stored[work.job.id])) for work in chunk.active]
        wanted = {
            key_of(carrying, work, one): (one.program, work)
            for work in works
            for one in work.programs
        }
        parts = await programs.cached(carrying.ledger, session, list(wanted))
    missing = {key: wanted[key] for key in wanted if key not in parts}
    tried = await asyncio.gather(*(_compile(carrying, *job) for job in missing.values()))
    answers = dict(zip(missing, tried, strict=True))
    if fresh := {key: one.answer for key, one in answers.items() if isinstance(one.answer, list)}:
        async with carrying.ledger.begin() as session:
            parts |= await programs.remember(carrying.ledger, session, fresh)
    return chunk.updated(_with_parts(carrying, work, parts, answers) for work in works)


def key_of(carrying: Carrying, work: Work, stored: StoredProgram) -> CacheKey:
    options = {
        "revision": COMPILER_REVISION,
        "optimization_level": work.job.options.optimization_level,
        "seed": work.job.options.seed,
        "observables": stored.program.observables,
        "format": stored.program.format,
    }
    return CacheKey(stored.program_hash, carrying.qpu.target_hash, digest(options))


async def _compile(carrying: Carrying, program: Program, work: Work) -> Compilation:
    began = time.perf_counter()
    answer = await _answer(carrying, program, work)
    return Compilation(answer, time.perf_counter() - began)


async def _answer(carrying: Carrying, program: Program, work: Work) -> Answer:
    """Compiled pieces with their places, or why it cannot be compiled."""
    limit = carrying.settings.transpile_timeout_seconds
    try:
        compiled = await carrying.compilers.run(
            compile_program, program, carrying.qpu.device, work.job.options, timeout_seconds=limit
        )
    except InputError as error:
        return error
    except TimeoutError:
        return InputError(
            f"Compiling took more than {limit:g} s",
            where=program.name,
            remedy="Lower the optimization level, or make the program smaller.",
        )
    except Exception as error:  # noqa: BLE001  a compiler that breaks, or its process, fails one job
        return InputError(f"Compiling failed: {error!r}", where=program.name)
    return [(await carrying.ledger.payloads.keep(p.compiled.qpy, QPY), p) for p in compiled]


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
    return replace(work, parts=tuple(parts[key] for key in keys))
