"""One program, by the compiler that its job chose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from qpuflow.domain.compilers import CONTENDERS, Candidate, Choice, Compiler, better
from qpuflow.domain.digest import digest
from qpuflow.domain.errors import InputError, OperatorNeeded
from qpuflow.domain.pieces import Piece, compile_program, figures_of_pieces
from qpuflow.domain.request import Program
from qpuflow.drivers import tket
from qpuflow.ledger.programs import CacheKey, StoredProgram
from qpuflow.tasks.racing import Run, race
from qpuflow.tasks.work import Carrying, Work

COMPILER_REVISION = 3
"""Part of every cache key: raised when the same input must be compiled anew."""
REMEDY = "Lower the optimization level, or make the program smaller."


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


async def compiled(carrying: Carrying, program: Program, work: Work) -> list[Piece]:
    """Its circuits; the first of them knows who made them, where the job asked for somebody.

    Raises `InputError` where it cannot be compiled; others mean that a compiler broke.
    """
    asked = work.job.options.compiler
    if asked is Compiler.BEST:
        return await _best(carrying, program, work)
    by = Compiler.PYTKET if asked is Compiler.PYTKET else Compiler.QISKIT
    pieces = await _by(carrying, by, program, work)
    return pieces if asked is None else _chosen(pieces, Choice(asked.value))


async def _best(carrying: Carrying, program: Program, work: Work) -> list[Piece]:
    budget = work.job.options.compile_budget_seconds
    contenders = {name: partial(_by, carrying, name, program, work) for name in CONTENDERS}
    runs = await race(contenders, budget)
    candidates = [_candidate(name, run, budget) for name, run in runs.items()]
    decided = better(candidates)
    if decided is None:
        error = runs[CONTENDERS[0]].error
        assert error is not None
        raise error
    kept, reason = decided
    pieces = runs[kept].value
    assert pieces is not None
    return _chosen(pieces, Choice(kept.value, reason, [one.about() for one in candidates]))


def _candidate(name: Compiler, run: Run[list[Piece]], budget_seconds: float) -> Candidate:
    if run.value is not None:
        return Candidate(name, run.seconds, figures_of_pieces(run.value))
    late = f"not done within the budget of {budget_seconds:g} s"
    return Candidate(name, run.seconds, failure=late if run.error is None else str(run.error))


def _chosen(pieces: list[Piece], choice: Choice) -> list[Piece]:
    return [replace(pieces[0], choice=choice), *pieces[1:]]


async def _by(
    carrying: Carrying,
    compiler: Compiler,
    program: Program,
    work: Work,
    begin: Callable[[], None] = lambda: None,
) -> list[Piece]:
    limit, device = carrying.settings.transpile_timeout_seconds, carrying.qpu.device
    pool, compile_it = carrying.compilers, compile_program
    if compiler is Compiler.PYTKET:
        pool, compile_it = carrying.tket, tket.compile_program
        if pool is None or not tket.is_installed():
            raise OperatorNeeded(
                "pytket is not installed where the worker runs",
                remedy="Run pip install 'qpuflow[pytket]' there, or choose qiskit.",
            )
    try:
        return await pool.run(
            compile_it, program, device, work.job.options, timeout_seconds=limit, begun=begin
        )
    except TimeoutError as error:
        raise InputError(
            f"Compiling took more than {limit:g} s", where=program.name, remedy=REMEDY
        ) from error
