"""Misread bits are undone by what the ledger has of the QPU's last calibration."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
import xarray as xr
from sqlalchemy import delete

from qpuflow.domain.calibration import Measured
from qpuflow.domain.errors import InputError
from qpuflow.domain.principal import service
from qpuflow.domain.quantity import Quantity
from qpuflow.ledger import calibrations
from qpuflow.ledger.dataset_codec import decode
from qpuflow.ledger.schema import CalibrationRow
from qpuflow.tasks.store import store
from tests.tasks.journalled import NAME
from tests.tasks.pipeline import STEPS, Pipeline

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


async def calibrate(pipeline: Pipeline, *qubits: int) -> None:
    found = [
        Measured(
            *(Quantity.READOUT, qubit, 0.95, 0.002, 4000, NOON),
            details={"confusion": [[0.94, 0.04], [0.06, 0.96]]},
        )
        for qubit in qubits
    ]
    async with pipeline.ledger.begin() as session:
        await calibrations.record(session, service("calibrate"), NAME, found)


async def test_without_a_calibration_a_job_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(InputError, match="has measured the readout of any qubit"):
        await pipeline.submit(mitigate_readout=True)
    await calibrate(pipeline, 0, 2)
    with pytest.raises(InputError, match="has measured the readout of qubit 1") as caught:
        await pipeline.submit(mitigate_readout=True)
    assert caught.value.remedy
    assert await pipeline.submit()


async def result_of(pipeline: Pipeline, job_id: UUID) -> xr.Dataset:
    carrying = await pipeline.begin(await pipeline.batch_of(job_id))
    steps = [one for one in STEPS if one is not store]
    chunk = await pipeline.steps(await pipeline.take(carrying), steps)
    finished = chunk.works[0].finished
    assert finished is not None
    assert finished.datasets[0].body
    return decode(finished.datasets[0].body)


async def test_a_result_has_both_what_was_read_and_what_was_meant(pipeline: Pipeline) -> None:
    await calibrate(pipeline, 0, 1, 2)
    (job_id,) = await pipeline.submit(mitigate_readout=True)
    dataset = await result_of(pipeline, job_id)
    assert dataset["counts"].values.tolist() == [[10]]
    assert dataset["mitigated"].values[0, 0] == pytest.approx(1.0, abs=1e-6)
    assert dataset["confusion"].values[0].tolist() == [[0.94, 0.04], [0.06, 0.96]]
    assert dataset["confusion_shots"].values.tolist() == [4000]
    assert dataset["confusion_measured_at"].values.tolist() == [NOON.isoformat()]
    assert dataset.attrs["mitigation"] == "readout, by M3"


async def test_what_was_read_is_a_result_where_it_can_no_longer_be_undone(
    pipeline: Pipeline,
) -> None:
    await calibrate(pipeline, 0, 1, 2)
    (job_id,) = await pipeline.submit(mitigate_readout=True)
    async with pipeline.ledger.begin() as session:
        await session.execute(delete(CalibrationRow))
    dataset = await result_of(pipeline, job_id)
    assert "mitigated" not in dataset
    assert dataset["counts"].values.tolist() == [[10]]
    assert dataset.attrs["mitigation"].startswith("none: No calibration has measured")


async def test_an_observable_is_given_with_and_without_misread_bits(pipeline: Pipeline) -> None:
    await calibrate(pipeline, 0, 1, 2)
    observables = {"z": {"Z": 2.0, "I": 0.5}}
    (job_id,) = await pipeline.submit(mitigate_readout=True, observables=observables)
    dataset = await result_of(pipeline, job_id)
    (seen,), (meant,) = dataset["expectation"].values, dataset["mitigated_expectation"].values
    zero, one = (0.06 + 0.96) / 0.9, (0.06 + 0.96 - 2) / 0.9
    assert (seen[0], meant[0]) in [
        (2.5, pytest.approx(2 * zero + 0.5)),
        (-1.5, pytest.approx(2 * one + 0.5)),
    ]
    assert dataset["mitigated_expectation_error"].values[0, 0] > 0
