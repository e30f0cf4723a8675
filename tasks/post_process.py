"""Step 5: from what the QPU gave to the result a user sees."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from qpuflow.domain.errors import Unavailable
from qpuflow.domain.job import JobState
from qpuflow.domain.pieces import combine
from qpuflow.drivers.base import Outcome
from qpuflow.ledger.dataset_codec import MEDIA_TYPE, encode
from qpuflow.ledger.results import Finished
from qpuflow.tasks.step import step
from qpuflow.tasks.work import Carrying, Chunk, Work

if TYPE_CHECKING:
    import xarray as xr


@step("post_process")
async def post_process(chunk: Chunk) -> Chunk:
    """Expectation values, provenance, and the bytes to store."""
    works = [work for work in chunk.active if work.outcome is not None]
    return chunk.updated([await _settle(chunk.carrying, work) for work in works])


async def _settle(carrying: Carrying, work: Work) -> Work:
    """What cannot be evaluated fails one job, not its neighbours."""
    try:
        return await _finish(carrying, work)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001  a result that is not what the driver promises
        return work.ended(JobState.FAILED, f"Its result cannot be evaluated: {error!r}")


async def _finish(carrying: Carrying, work: Work) -> Work:
    assert work.outcome is not None
    contents = await asyncio.to_thread(_encoded, work, work.outcome)
    datasets = [await carrying.ledger.payloads.keep(content, MEDIA_TYPE) for content in contents]
    usage = work.outcome.usage
    executed = [[part.payload_hash for part in parts] for parts in work.parts]
    finished = Finished(
        work.job,
        datasets,
        executed,
        usage.seconds,
        usage.cost,
        usage.unit,
        work.timings,
        carrying.qpu.device.outside_effects,
    )
    return replace(work, finished=finished)


def _encoded(work: Work, outcome: Outcome) -> list[bytes]:
    remaining = list(outcome.datasets)
    contents: list[bytes] = []
    for index, parts in enumerate(work.parts):
        mine, remaining = remaining[: len(parts)], remaining[len(parts) :]
        contents.append(encode(_result(work, index, mine)))
    return contents


def _result(work: Work, index: int, datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    pieces = [stored.piece for stored in work.parts[index]]
    first = pieces[0].compiled
    return combine(pieces, datasets).assign_attrs(
        job_id=str(work.job.id),
        qpu=work.job.qpu,
        attempt=work.job.attempt,
        qubits=work.programs[index].num_qubits,
        compiled_depth=first.depth,
        compiled_operations=sum(first.operations.values()),
        optimization_level=work.job.options.optimization_level,
    )
