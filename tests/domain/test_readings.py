"""What `qpuflow result` and a job's page show besides counts."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from qpuflow.deployments.cli import tables
from qpuflow.domain.executable import Executable, Register
from qpuflow.domain.job import Job, JobState
from qpuflow.domain.pictures import job_markdown
from qpuflow.domain.readings import readings_of
from qpuflow.domain.report import report_of
from qpuflow.domain.request import JobOptions, Program
from qpuflow.domain.result import dataset_of
from tests.domain.programs import BELL3

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
JOB = Job(
    id=uuid4(),
    user="alice",
    project="alice",
    qpu="rack",
    key="key",
    state=JobState.COMPLETED,
    reason=None,
    shots=400,
    options=JobOptions(),
    batch_id=uuid4(),
    attempt=1,
    program_count=1,
    estimate_seconds=1.0,
    created_at=NOON,
    started_at=NOON,
    finished_at=NOON,
    cancel_requested_at=None,
    timings={},
)
REGISTERS = (Register("a", 1), Register("b", 2))


def dataset(*counts: dict[str, int]) -> xr.Dataset:
    program = Executable("p", b"", REGISTERS, points=tuple({} for _ in counts))
    return dataset_of(program, 400, counts)


def shown(result: xr.Dataset) -> str:
    """As the command line and the job's page show it."""
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(tables.result(report_of(JOB, [result])))
    page = job_markdown(JOB, [Program(name="p", source=BELL3)], [result])
    return console.export_text() + page


def test_averaged_bits_have_rows_with_error_bars() -> None:
    result = dataset({}, {}).assign(ones=(("point", "clbit"), [[0.25, 0.0, 1.0], [1, 1, 1]]))
    first, second, third = readings_of(result, 0)
    assert [one.bit for one in (first, second, third)] == ["a[0]", "b[0]", "b[1]"]
    assert (first.ones, first.ones_error) == (0.25, pytest.approx(0.0217, rel=0.02))
    assert second.ones_error is not None
    assert 0 < second.ones_error < 0.003
    text = shown(result)
    assert "a[0] = 1 │ 0.2500 ± 0.02" in text
    assert "a[0] = 1: 0.2500 ± 0.02" in text
    assert "Counts" not in text


def test_points_and_traces_have_rows_where_something_was_measured() -> None:
    nothing = [np.nan, np.nan]
    points = np.array([[[[0.1, -0.2], [0.3, 0.4], nothing], [[0.2, -0.2], [0.3, 0.2], nothing]]])
    result = dataset({"00 0": 400}).assign(iq=(("point", "shot", "clbit", "quadrature"), points))
    first, second = readings_of(result, 0)
    assert (first.bit, first.iq) == ("a[0]", pytest.approx((0.15, -0.2)))
    assert (second.bit, second.iq) == ("b[0]", pytest.approx((0.3, 0.3)))
    assert "b[0] mean I, Q" in shown(result)
    assert "00 0" in shown(result), "beside the counts"

    trace = np.full((1, 3, 10, 2), np.nan)
    trace[0, 1, :8] = 0.5
    dims = ("point", "clbit", "time", "quadrature")
    result = dataset({}).assign(trace=(dims, trace))
    (only,) = readings_of(result, 0)
    assert (only.bit, only.samples) == ("b[0]", 8)
    assert "8 samples" in shown(result)


def test_mitigated_outcomes_stand_beside_those_that_were_read() -> None:
    plain = dataset({"00 0": 300, "01 1": 100})
    assert "mitigated" not in shown(plain)
    dims = ("point", "outcome")
    result = plain.assign(
        mitigated=(dims, [[0.8123, 0.1877]]), mitigated_error=(dims, [[0.031, 0.029]])
    )
    text = shown(result)
    assert "mitigated" in text
    assert text.count("0.8123 ± 0.0310") == 2
    (program,) = report_of(JOB, [result]).programs
    assert program.points[0].mitigated["01 1"].value == 0.1877
