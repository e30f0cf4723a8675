"""The transpile step and its cache, which all processes share."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from qpuflow.domain.job import JobState
from qpuflow.tasks.transpile import transpile
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
