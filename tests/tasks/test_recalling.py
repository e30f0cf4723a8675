"""What a QPU was given stays what it was given, whatever becomes of its device and its compiler."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import xarray as xr

from qpuflow.domain.device import Device
from qpuflow.domain.errors import PartlyAccepted
from qpuflow.domain.job import Job, JobState
from qpuflow.domain.principal import service
from qpuflow.drivers.forked import ForkedPool
from qpuflow.ledger import programs, qpus, results
from qpuflow.tasks.book_slot import book_slot
from qpuflow.tasks.dispatch import dispatch
from qpuflow.tasks.post_process import UNKNOWN
from qpuflow.tasks.transpile import transpile
from qpuflow.tasks.work import Chunk
from tests.ledger.entities import rows
from tests.tasks.journalled import Crash, JournalledQpu, Mischief
from tests.tasks.pipeline import USER, Pipeline
from tests.tasks.test_mitigation import calibrate

LARGE = f"""OPENQASM 2.0; include "qelib1.inc";
qreg q[1]; creg c[1]; h q; measure q -> c; // {"x" * 1_000_000}"""
"""It lives in a file."""
OTHERS = ("u", "cz")
"""Gates of the device after the change, in which nothing is written as it was."""


async def handed_over(pipeline: Pipeline, job_ids: Sequence[UUID]) -> Chunk:
    """By a carrier that dies while the QPU has them."""
    first = await pipeline.begin(await pipeline.batch_of(job_ids[0]))
    chunk = await pipeline.steps(await pipeline.take(first), (transpile, book_slot, dispatch))
    await pipeline.crash(first)
    return chunk


async def becomes(pipeline: Pipeline, device: Device) -> None:
    async with pipeline.ledger.begin() as session:
        await qpus.synced(session, service("test"), device)


def with_other_gates(qpu: JournalledQpu) -> Device:
    device = qpu.device
    (kind,) = {type(gate) for gate in device.gates}
    kept = [gate for gate in device.gates if gate.name in ("measure", "reset")]
    return device.model_copy(update={"gates": (*(kind(name=name) for name in OTHERS), *kept)})


async def finished(pipeline: Pipeline, job_id: UUID) -> Job:
    """By another carrier."""
    await pipeline.carry(await pipeline.begin(await pipeline.batch_of(job_id)))
    return await pipeline.job(job_id)


async def result_of(pipeline: Pipeline, job_id: UUID) -> xr.Dataset:
    async with pipeline.ledger.begin() as session:
        (dataset,) = await results.read(pipeline.ledger, session, USER, job_id)
    return dataset


async def executed(pipeline: Pipeline, job_id: UUID) -> list[str]:
    """The hashes of the circuits that are kept as those that ran."""
    async with pipeline.ledger.begin() as session:
        found = await programs.executed(pipeline.ledger, session, USER, job_id)
    return [hashlib.sha256(one).hexdigest() for parts in found.values() for one in parts]


async def test_what_ran_is_what_was_handed_over_although_the_device_has_changed(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    job_ids = await pipeline.submit(2)
    chunk = await handed_over(pipeline, job_ids)
    await becomes(pipeline, with_other_gates(qpu))
    (later,) = await pipeline.submit()
    assert (await finished(pipeline, later)).state is JobState.COMPLETED
    for work in chunk.works:
        assert (await pipeline.job(work.job.id)).state is JobState.COMPLETED
        assert await executed(pipeline, work.job.id) == work.payload_hashes[0]
        assert await executed(pipeline, later) != work.payload_hashes[0]
    assert len(qpu.executions()) == 3


async def test_every_circuit_of_a_program_with_observables_is_recalled(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    source = 'OPENQASM 3.0; include "stdgates.inc"; qubit q; h q;'
    (job_id,) = await pipeline.submit(source=source, observables={"both": {"Z": 1.0, "X": 1.0}})
    (work,) = (await handed_over(pipeline, [job_id])).works
    await becomes(pipeline, with_other_gates(qpu))
    assert (await finished(pipeline, job_id)).state is JobState.COMPLETED
    assert await executed(pipeline, job_id) == work.payload_hashes[0]
    assert len(work.payload_hashes[0]) == 2


async def test_what_the_device_cannot_do_any_more_it_has_done(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    (job_id,) = await pipeline.submit()
    await handed_over(pipeline, [job_id])
    gates = [gate for gate in qpu.device.gates if gate.name == "measure"]
    await becomes(pipeline, qpu.device.model_copy(update={"gates": tuple(gates)}))
    assert (await finished(pipeline, job_id)).state is JobState.COMPLETED
    assert len(qpu.executions()) == 1


class Away(ForkedPool):
    """A compiler that does not answer."""

    async def run(self, *_args: Any, **_options: Any) -> Any:
        raise ConnectionError("The compiler is away")


async def test_no_compiler_is_needed_for_what_was_handed_over(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    (job_id,) = await pipeline.submit()
    await handed_over(pipeline, [job_id])
    await becomes(pipeline, with_other_gates(qpu))
    pipeline.compilers = Away()
    assert (await finished(pipeline, job_id)).state is JobState.COMPLETED


async def test_nor_its_program(pipeline: Pipeline, tmp_path: Path) -> None:
    (job_id,) = await pipeline.submit(source=LARGE)
    await handed_over(pipeline, [job_id])
    (file,) = (one for one in (tmp_path / "payloads").rglob("*") if one.is_file())
    file.unlink()
    assert (await finished(pipeline, job_id)).state is JobState.COMPLETED


async def forget(pipeline: Pipeline) -> None:
    await rows(pipeline.ledger, "DELETE FROM transpilations RETURNING 1")


async def test_where_nobody_knows_what_ran_the_result_says_so_and_claims_nothing(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    await calibrate(pipeline, 0, 1, 2)
    (job_id,) = await pipeline.submit(mitigate_readout=True)
    await handed_over(pipeline, [job_id])
    await forget(pipeline)
    assert (await finished(pipeline, job_id)).state is JobState.COMPLETED
    dataset = await result_of(pipeline, job_id)
    assert dataset["counts"].values.tolist() == [[10]]
    assert "mitigated" not in dataset
    assert dataset.attrs["executed"] == UNKNOWN
    assert dataset.attrs["mitigation"] == f"none: {UNKNOWN}"
    assert "compiled_depth" not in dataset.attrs
    assert await executed(pipeline, job_id) == []
    assert len(qpu.executions()) == 1


async def test_its_observables_are_told_all_the_same(pipeline: Pipeline) -> None:
    (job_id,) = await pipeline.submit(observables={"z": {"Z": 2.0, "I": 0.5}})
    await handed_over(pipeline, [job_id])
    await forget(pipeline)
    assert (await finished(pipeline, job_id)).state is JobState.COMPLETED
    assert (await result_of(pipeline, job_id))["expectation"].values.tolist() in [[[2.5]], [[-1.5]]]


async def test_of_what_nobody_knows_no_rest_is_handed_over(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    (job_id,) = await pipeline.submit()
    first = await pipeline.begin(await pipeline.batch_of(job_id))
    qpu.mischief.append(Mischief.CRASH_BEFORE)
    with pytest.raises(Crash):
        await pipeline.carry(first)
    await pipeline.crash(first)
    await forget(pipeline)
    qpu.deaf = PartlyAccepted("One of two circuits is there")
    second = await pipeline.begin(await pipeline.batch_of(job_id))
    await pipeline.steps(await pipeline.resume(second))
    job = await pipeline.job(job_id)
    assert job.state is JobState.AMBIGUOUS
    assert "which the others were is not known" in str(job.reason)
    assert qpu.executions() == []


async def test_a_result_that_nothing_says_how_to_read_fails_its_job_and_says_whose_it_is(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    (lost,) = await pipeline.submit(source=LARGE)
    (kept,) = await pipeline.submit()
    chunk = await handed_over(pipeline, [lost, kept])
    await forget(pipeline)
    (file,) = (one for one in (tmp_path / "payloads").rglob("*") if one.is_file())
    file.unlink()
    job = await finished(pipeline, lost)
    assert job.state is JobState.FAILED
    (ticket,) = [work.ticket for work in chunk.works if work.job.id == lost]
    assert ticket is not None
    assert ticket.token in str(job.reason)
    assert str(file) in str(job.reason)
    assert (await pipeline.job(kept)).state is JobState.COMPLETED
