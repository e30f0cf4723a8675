"""The transpile step and its cache, which all processes share."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qpuflow.domain.errors import Unavailable
from qpuflow.domain.job import JobState
from qpuflow.ledger.payload_store import INLINE_BYTES
from qpuflow.tasks.transpile import KEEP_ANEW, transpile
from qpuflow.tasks.work import Chunk
from tests.ledger.entities import rows, scalar
from tests.tasks.journalled import JournalledQpu
from tests.tasks.pipeline import SOURCE, Pipeline, run

ROOT = Path(__file__).parents[2]


async def test_jobs_with_one_program_share_one_compilation(pipeline: Pipeline) -> None:
    job_ids = await pipeline.submit(4)
    carrying = await pipeline.begin(await pipeline.batch_of(job_ids[0]))
    chunk = await run(transpile, await pipeline.take(carrying))
    hashes = {part.payload_hash for work in chunk.works for parts in work.parts for part in parts}
    assert len(hashes) == 1
    assert await scalar(pipeline.ledger, "SELECT count(*) FROM transpilations") == 1


async def test_another_process_finds_what_was_compiled(
    pipeline: Pipeline, ledger_url: str, tmp_path: Path
) -> None:
    (first,) = await pipeline.submit()
    carrying = await pipeline.begin(await pipeline.batch_of(first))
    chunk = await run(transpile, await pipeline.take(carrying))
    compiled = chunk.works[0].parts[0][0].payload_hash
    await pipeline.crash(carrying)

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.tasks.another_process",
        str(tmp_path / "payloads"),
        str(carrying.batch_id),
        cwd=ROOT,
        env=os.environ | {"LEDGER_URL": ledger_url},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert output.decode().split() == [str(first), compiled]


async def test_a_program_that_cannot_be_compiled_in_time_fails_with_the_limit(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    pipeline.settings = pipeline.settings.model_copy(update={"transpile_timeout_seconds": 1e-3})
    # Long enough that its answer cannot be there when the time starts to run.
    good = await pipeline.submit(source=SOURCE.replace("h q;", "h q; t q;" * 2_000))
    carrying = await pipeline.begin(await pipeline.batch_of(good[0]))
    await pipeline.steps(await pipeline.take(carrying))
    job = await pipeline.job(good[0])
    assert job.state is JobState.FAILED
    assert "took more than" in str(job.reason)
    assert qpu.executions() == []
    assert await rows(pipeline.ledger, "SELECT * FROM intents") == []


LARGE = f"""OPENQASM 2.0; include "qelib1.inc";
qreg q[1]; creg c[1]; h q; measure q -> c; // {"x" * INLINE_BYTES}"""
"""It lives in a file."""


def file_of(tmp_path: Path, source: str) -> Path:
    (file,) = (tmp_path / "payloads").rglob(hashlib.sha256(source.encode()).hexdigest())
    return file


def damage(file: Path) -> None:
    file.write_text("?")


@pytest.mark.parametrize("harm", [Path.unlink, damage])
async def test_a_program_that_cannot_be_read_fails_its_job_alone(
    pipeline: Pipeline, qpu: JournalledQpu, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    (before,) = await pipeline.submit()
    (broken,) = await pipeline.submit(source=LARGE)
    (after,) = await pipeline.submit()
    file = file_of(tmp_path, LARGE)
    harm(file)
    await pipeline.carry(await pipeline.begin(await pipeline.batch_of(broken)))
    states = [(await pipeline.job(one)).state.value for one in (before, broken, after)]
    assert states == ["completed", "failed", "completed"]
    reason = str((await pipeline.job(broken)).reason)
    assert reason.startswith("Program 'program' cannot be read")
    assert str(file) in reason
    assert reason.endswith(KEEP_ANEW)
    assert len(qpu.executions()) == 2


async def test_a_program_whose_file_cannot_be_read_now_fails_no_job(
    pipeline: Pipeline, qpu: JournalledQpu, tmp_path: Path
) -> None:
    (job_id,) = await pipeline.submit(source=LARGE)
    file = file_of(tmp_path, LARGE)
    aside = file.rename(tmp_path / "aside")
    file.mkdir()
    carrying = await pipeline.begin(await pipeline.batch_of(job_id))
    chunk = await pipeline.take(carrying)
    with pytest.raises(Unavailable, match="cannot be read now"):
        await run(transpile, chunk)
    file.rmdir()
    aside.rename(file)
    await pipeline.steps(chunk)
    assert (await pipeline.job(job_id)).state is JobState.COMPLETED


LOSE = """UPDATE payloads SET body = NULL, url = 'file:///nowhere', created_at = {since}
WHERE media_type = 'application/vnd.qiskit.qpy' RETURNING hash"""


async def compiled_and_lost(pipeline: Pipeline, since: str) -> Chunk:
    """A job whose program somebody compiled, to circuits that nobody finds `since` then."""
    (first,) = await pipeline.submit()
    carrying = await pipeline.begin(await pipeline.batch_of(first))
    chunk = await pipeline.take(carrying)
    await run(transpile, chunk)
    carrying.compiled.clear()
    assert len(await rows(pipeline.ledger, LOSE.format(since=since))) == 1
    return chunk


async def test_what_was_compiled_and_cannot_be_read_is_compiled_again(pipeline: Pipeline) -> None:
    chunk = await compiled_and_lost(pipeline, "now() - interval '1 hour'")
    (work,) = (await run(transpile, chunk)).works
    assert work.parts[0][0].piece.compiled.circuit().num_clbits == 1


async def test_where_that_does_not_bring_it_back_the_job_says_so(pipeline: Pipeline) -> None:
    chunk = await compiled_and_lost(pipeline, "now()")
    (work,) = (await run(transpile, chunk)).works
    assert work.end is not None
    assert work.end.state is JobState.FAILED
    assert "is kept, and cannot be read" in work.end.reason
    assert pipeline.ledger.payloads.url in work.end.reason
