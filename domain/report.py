"""What a user is told about a job. The JSON of these models is a documented, stable schema."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from qpuflow.domain.job import Job, JobState
from qpuflow.domain.policy import Wait
from qpuflow.domain.readings import BitReading, readings_of
from qpuflow.domain.result import counts_of, registers_of

if TYPE_CHECKING:
    import xarray as xr


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RegisterReport(_Value):
    name: str
    size: int


class Expectation(_Value):
    value: float
    error: float = Field(description="Standard error.")


class PointReport(_Value):
    """One set of parameter values and what was seen there."""

    parameters: dict[str, float]
    counts: dict[str, int]
    mitigated: dict[str, Expectation] = Field(
        default_factory=dict[str, Expectation],
        description="Quasi-probabilities of the same outcomes, had no bit been misread.",
    )
    readings: list[BitReading] = Field(
        default_factory=list[BitReading], description="Averages, points and traces of each bit."
    )
    expectations: dict[str, Expectation] = Field(default_factory=dict[str, Expectation])
    mitigated_expectations: dict[str, Expectation] = Field(
        default_factory=dict[str, Expectation],
        description="The same, had no bit been misread.",
    )


class ProgramReport(_Value):
    """`counts` are those of the first point; `points` has them all."""

    name: str
    counts: dict[str, int]
    registers: list[RegisterReport] = Field(
        description="In order of declaration: the last one stands leftmost in a key of counts."
    )
    points: list[PointReport]
    metadata: dict[str, Any]


class CostReport(_Value):
    """Money: what was expected before the job was handed over, and what was charged."""

    unit: str = Field(description="The vendor's, as USD or HQC.")
    estimated: float | None
    charged: float | None = Field(description="None until it has completed.")
    credits: float | None = Field(description="What was charged, in the installation's own unit.")


class EventReport(_Value):
    """One line of a job's history: who moved it, through what, and why."""

    at: datetime
    actor: str
    via: str
    from_state: JobState | None
    to_state: JobState
    detail: str | None


class JobReport(_Value):
    """The state of a job and, once it has completed, its results."""

    job_id: UUID
    state: JobState
    reason: str | None = None
    waits_because: str | None = Field(default=None, description="While it has not started.")
    expected_start_at: datetime | None = Field(
        default=None, description="If estimates are right and nobody else comes."
    )
    user: str
    qpu: str
    shots: int
    attempt: int
    created_at: datetime
    finished_at: datetime | None
    not_before: datetime | None = None
    start_by: datetime | None = None
    programs: list[ProgramReport] = Field(default_factory=list[ProgramReport])
    timings: dict[str, float] = Field(description="Seconds in each step.")
    cost: CostReport | None = Field(
        default=None, description="Where somebody charges for more than time."
    )
    events: list[EventReport] = Field(
        default_factory=list[EventReport], description="The job's history; `status` gives it."
    )


def report_of(
    job: Job,
    datasets: Sequence[xr.Dataset] = (),
    events: Sequence[EventReport] = (),
    wait: Wait | None = None,
    cost: CostReport | None = None,
) -> JobReport:
    return JobReport(
        job_id=job.id,
        state=job.state,
        reason=job.reason,
        waits_because=wait.reason if wait else None,
        expected_start_at=wait.until if wait else None,
        user=job.user,
        qpu=job.qpu,
        shots=job.shots,
        attempt=job.attempt,
        created_at=job.created_at,
        finished_at=job.finished_at,
        not_before=job.not_before,
        start_by=job.start_by,
        programs=[_program(dataset) for dataset in datasets],
        timings=job.timings,
        cost=cost,
        events=list(events),
    )


def _program(dataset: xr.Dataset) -> ProgramReport:
    points = [_point(dataset, index) for index in range(dataset.sizes["point"])]
    shown = {"program", "registers"}
    return ProgramReport(
        name=dataset.attrs["program"],
        counts=points[0].counts,
        registers=[RegisterReport(name=r.name, size=r.size) for r in registers_of(dataset)],
        points=points,
        metadata={key: value for key, value in dataset.attrs.items() if key not in shown},
    )


def _point(dataset: xr.Dataset, index: int) -> PointReport:
    prefix = "parameter_"
    parameters = {
        str(name).removeprefix(prefix): float(coordinate.values[index])
        for name, coordinate in dataset.coords.items()
        if str(name).startswith(prefix)
    }
    return PointReport(
        parameters=parameters,
        counts=counts_of(dataset, index),
        mitigated=_mitigated(dataset, index),
        readings=readings_of(dataset, index),
        expectations=_expectations(dataset, index, "expectation"),
        mitigated_expectations=_expectations(dataset, index, "mitigated_expectation"),
    )


def _mitigated(dataset: xr.Dataset, index: int) -> dict[str, Expectation]:
    if "mitigated" not in dataset:
        return {}
    values, errors = dataset["mitigated"].values, dataset["mitigated_error"].values
    column = {str(outcome): i for i, outcome in enumerate(dataset["outcome"].values)}
    return {
        outcome: Expectation(value=float(values[index, i]), error=float(errors[index, i]))
        for outcome in counts_of(dataset, index)
        for i in [column[outcome]]
    }


def _expectations(dataset: xr.Dataset, index: int, variable: str) -> dict[str, Expectation]:
    if variable not in dataset:
        return {}
    values, errors = dataset[variable].values, dataset[f"{variable}_error"].values
    return {
        str(name): Expectation(value=float(values[index, i]), error=float(errors[index, i]))
        for i, name in enumerate(dataset["observable"].values)
    }
