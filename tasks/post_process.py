"""Step 5: from what the QPU gave to the result a user sees."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qpuflow.domain.calibration import Confusion
from qpuflow.domain.errors import NotFound, QpuflowError, Unavailable
from qpuflow.domain.job import JobState
from qpuflow.domain.pieces import Piece, combine
from qpuflow.drivers.base import Outcome
from qpuflow.ledger.calibrations import confusions
from qpuflow.ledger.dataset_codec import MEDIA_TYPE, encode
from qpuflow.ledger.results import Finished
from qpuflow.tasks.step import step
from qpuflow.tasks.work import Carrying, Chunk, Work

if TYPE_CHECKING:
    import xarray as xr

SMALL_BYTES = 10_000
UNKNOWN = "Which circuits the QPU was given is not known any more"


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
    contents = await _beside(work, work.outcome, await _readouts(carrying, work))
    datasets = [await carrying.ledger.payloads.keep(content, MEDIA_TYPE) for content in contents]
    usage = work.outcome.usage
    executed = [] if work.is_outline else work.payload_hashes
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


async def _beside(work: Work, outcome: Outcome, readouts: Mapping[int, Confusion]) -> list[bytes]:
    """In a thread. What is small takes less than a thread does."""
    size_bytes = sum(dataset.nbytes for dataset in outcome.datasets)
    if size_bytes <= SMALL_BYTES and not work.job.options.mitigate_readout:
        return _encoded(work, outcome, readouts)
    return await asyncio.to_thread(_encoded, work, outcome, readouts)


async def _readouts(carrying: Carrying, work: Work) -> Mapping[int, Confusion]:
    if not work.job.options.mitigate_readout:
        return {}
    async with carrying.ledger.look() as session:
        return await confusions(session, work.job.qpu)


def _encoded(work: Work, outcome: Outcome, readouts: Mapping[int, Confusion]) -> list[bytes]:
    remaining = list(outcome.datasets)
    contents: list[bytes] = []
    for index, parts in enumerate(work.parts):
        mine, remaining = remaining[: len(parts)], remaining[len(parts) :]
        dataset = _result(work, index, mine)
        if work.job.options.mitigate_readout and not work.is_outline:
            pieces = [stored.piece for stored in parts]
            dataset = _mitigated(dataset, pieces, mine, readouts)
        contents.append(encode(dataset))
    return contents


def _mitigated(
    dataset: xr.Dataset,
    pieces: Sequence[Piece],
    measured: Sequence[xr.Dataset],
    readouts: Mapping[int, Confusion],
) -> xr.Dataset:
    """The attribute `mitigation` says by what, or why not: what was seen is a result either way."""
    from qpuflow.domain.mitigated_observables import mitigated_expectations
    from qpuflow.domain.mitigation import mitigated

    try:
        behind = [_behind(piece, readouts) for piece in pieces]
        undone = mitigated(dataset, behind[0]).assign_attrs(mitigation="readout, by M3")
        if (constants := pieces[0].constants) is None:
            return undone
        terms = [piece.terms for piece in pieces]
        return mitigated_expectations(terms, constants, [undone, *measured[1:]], behind)
    except QpuflowError as error:
        return dataset.assign_attrs(mitigation=f"none: {error.what}")
    except Exception as error:  # noqa: BLE001  the library's own, when its solver does not converge
        return dataset.assign_attrs(mitigation=f"none: {error!r}")


def _behind(piece: Piece, readouts: Mapping[int, Confusion]) -> list[Confusion | None]:
    from qpuflow.domain.mitigation import measured_into

    qubits = measured_into(piece.compiled.circuit())
    return [None if qubit is None else _known(readouts, qubit) for qubit in qubits]


def _known(readouts: Mapping[int, Confusion], qubit: int) -> Confusion:
    if qubit not in readouts:
        raise NotFound(f"No calibration has measured the readout of qubit {qubit}")
    return readouts[qubit]


def _result(work: Work, index: int, datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    pieces = [stored.piece for stored in work.parts[index]]
    told = _of_nobody_knows_what(work) if work.is_outline else _of_compiled(pieces[0])
    return combine(pieces, datasets).assign_attrs(
        job_id=str(work.job.id),
        qpu=work.job.qpu,
        attempt=work.job.attempt,
        qubits=work.programs[index].num_qubits,
        optimization_level=work.job.options.optimization_level,
        **told,
    )


def _of_compiled(piece: Piece) -> dict[str, Any]:
    first, choice = piece.compiled, piece.choice
    told: dict[str, Any] = {
        "compiled_depth": first.depth,
        "compiled_operations": sum(first.operations.values()),
        "compiled_two_qubit_gates": first.two_qubit_gates,
    }
    if choice is not None:
        told["compiler"] = choice.compiler
    if choice is not None and choice.reason is not None:
        told |= {"compiler_reason": choice.reason, "compared": json.dumps(list(choice.compared))}
    if first.figures.fidelity is not None:
        told["estimated_fidelity"] = first.figures.fidelity
    return told


def _of_nobody_knows_what(work: Work) -> dict[str, Any]:
    told = {"executed": UNKNOWN}
    return told | {"mitigation": f"none: {UNKNOWN}"} if work.job.options.mitigate_readout else told
