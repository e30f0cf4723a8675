"""A job chooses who compiles it, and sees why one compiler was preferred."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from qpuflow.domain.compilers import BY_GATES, Compiler
from qpuflow.domain.job import JobState
from qpuflow.domain.principal import Principal
from qpuflow.drivers import tket
from qpuflow.drivers.forked import ForkedPool
from qpuflow.ledger.dataset_codec import decode
from qpuflow.tasks.racing import race
from qpuflow.tasks.store import store
from qpuflow.tasks.work import Work
from tests.tasks.pipeline import STEPS, Pipeline

SWAPPED = """OPENQASM 3.0; include "stdgates.inc";
qubit[2] q; bit[2] c; rx(0.3) q[0]; ry(0.4) q[1];
cx q[0], q[1]; cx q[1], q[0]; cx q[0], q[1];
c = measure q;"""
"""pytket sees that this is only another order of the qubits; Qiskit does not."""


@pytest.fixture(scope="module")
def pytket() -> Generator[ForkedPool]:
    pool = ForkedPool(tket.PRELOAD, size=2)
    yield pool
    pool.close()


async def carried(
    pipeline: Pipeline,
    pool: ForkedPool | None,
    source: str = SWAPPED,
    points: Sequence[dict[str, float]] = (),
    **options: Any,
) -> Work:
    """All steps but the last, of one job, and of a user who has no other."""
    who = Principal(user := f"user-{uuid4().hex[:8]}", user)
    (job_id,) = await pipeline.submit(source=source, who=who, points=points, **options)
    carrying = await pipeline.begin(await pipeline.batch_of(job_id))
    chunk = await pipeline.take(replace(carrying, tket=pool))
    steps = [one for one in STEPS if one is not store]
    return (await pipeline.steps(chunk, steps)).works[0]


def attributes(work: Work) -> dict[str, Any]:
    assert work.finished is not None, work.end
    assert work.finished.datasets[0].body
    return decode(work.finished.datasets[0].body).attrs


async def test_the_better_one_is_kept_and_the_result_says_why(
    pipeline: Pipeline, pytket: ForkedPool
) -> None:
    work = await carried(pipeline, pytket, compiler=Compiler.BEST, optimization_level=2)
    told = attributes(work)
    assert (told["compiler"], told["compiler_reason"]) == ("pytket", BY_GATES)
    compared = {one["compiler"]: one for one in json.loads(told["compared"])}
    assert compared["qiskit"]["two_qubit_gates"] > compared["pytket"]["two_qubit_gates"] == 0
    assert told["compiled_two_qubit_gates"] == 0
    assert all(one["seconds"] > 0 for one in compared.values())


async def test_from_the_cache_the_reason_comes_along(
    pipeline: Pipeline, pytket: ForkedPool
) -> None:
    options: dict[str, Any] = {"compiler": Compiler.BEST, "optimization_level": 2}
    first = attributes(await carried(pipeline, pytket, **options))
    second = attributes(await carried(pipeline, None, **options))
    assert second["compared"] == first["compared"]


async def test_what_pytket_cannot_do_qiskit_does(pipeline: Pipeline, pytket: ForkedPool) -> None:
    source = SWAPPED.replace("OPENQASM 3.0;", "OPENQASM 3.0; input float theta;")
    source = source.replace("0.3", "theta")
    told = attributes(
        await carried(pipeline, pytket, source, [{"theta": 0.3}], compiler=Compiler.BEST)
    )
    assert told["compiler"] == "qiskit"
    failures = [one.get("failure") for one in json.loads(told["compared"])]
    assert failures[0] is None
    assert "not all numbers" in str(failures[1])


@pytest.mark.parametrize("compiler", [Compiler.QISKIT, Compiler.PYTKET, Compiler.VENDOR])
async def test_a_chosen_compiler_is_the_one_that_was_used(
    pipeline: Pipeline, pytket: ForkedPool, compiler: Compiler
) -> None:
    told = attributes(await carried(pipeline, pytket, compiler=compiler, optimization_level=2))
    assert told["compiler"] == compiler.value
    assert "compared" not in told
    assert (told["compiled_two_qubit_gates"] == 0) == (compiler is Compiler.PYTKET)


async def test_a_worker_without_pytket_fails_the_job_with_what_to_install(
    pipeline: Pipeline,
) -> None:
    work = await carried(pipeline, None, compiler=Compiler.PYTKET)
    assert work.end is not None
    assert work.end.state is JobState.FAILED
    assert "qpuflow[pytket]" in work.end.reason


async def test_both_run_at_the_same_time() -> None:
    meeting = asyncio.Barrier(2)

    async def contender(begin: Any) -> int:
        begin()
        async with asyncio.timeout(30):
            await meeting.wait()
        return 1

    runs = await race({Compiler.QISKIT: contender, Compiler.PYTKET: contender}, 60.0)
    assert [run.value for run in runs.values()] == [1, 1]


async def _never(begin: Any) -> int:
    begin()
    await asyncio.Event().wait()
    raise AssertionError


async def test_when_the_budget_ends_what_is_there_is_kept_and_the_other_is_cancelled() -> None:
    async def quick(begin: Any) -> int:
        begin()
        return 2

    runs = await race({Compiler.QISKIT: _never, Compiler.PYTKET: quick}, 0.05)
    assert runs[Compiler.PYTKET].value == 2
    late = runs[Compiler.QISKIT]
    assert (late.value, late.error) == (None, None)


async def test_when_nothing_is_there_yet_the_first_that_finishes_is_kept() -> None:
    over = asyncio.Event()

    async def late(begin: Any) -> int:
        begin()
        await over.wait()
        return 3

    asyncio.get_running_loop().call_later(0.3, over.set)
    runs = await race({Compiler.QISKIT: _never, Compiler.PYTKET: late}, 0.05)
    assert runs[Compiler.PYTKET].value == 3
    assert runs[Compiler.QISKIT].value is None


async def test_one_that_breaks_is_waited_for_no_longer_and_the_other_wins() -> None:
    async def breaks(begin: Any) -> int:
        raise RuntimeError("no")

    async def slow(begin: Any) -> int:
        begin()
        await asyncio.sleep(0.2)
        return 4

    runs = await race({Compiler.QISKIT: breaks, Compiler.PYTKET: slow}, 0.05)
    assert isinstance(runs[Compiler.QISKIT].error, RuntimeError)
    assert runs[Compiler.PYTKET].value == 4


async def test_the_budget_does_not_count_while_an_sdk_is_imported() -> None:
    """Else the first job of a worker would never be compiled by the slower one to start."""

    async def importing(begin: Any) -> int:
        await asyncio.sleep(0.3)
        begin()
        return 5

    async def ready(begin: Any) -> int:
        begin()
        return 6

    runs = await race({Compiler.QISKIT: ready, Compiler.PYTKET: importing}, 0.1)
    assert [run.value for run in runs.values()] == [6, 5]


async def test_it_is_another_job_with_another_compiler(
    pipeline: Pipeline, pytket: ForkedPool
) -> None:
    hashes: set[str] = set()
    for compiler in (None, Compiler.PYTKET):
        work = await carried(pipeline, pytket, compiler=compiler, optimization_level=2)
        hashes.add(work.parts[0][0].payload_hash)
    assert len(hashes) == 2
