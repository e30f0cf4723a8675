"""Rows of jobs as the values that the rest of qpuflow works with."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from qpuflow.domain.job import Job, JobState
from qpuflow.domain.request import JobOptions
from qpuflow.ledger.schema import JobRow


def value_of(row: JobRow | Row[Any]) -> Job:
    return Job(
        id=row.id,
        user=row.user,
        project=row.project,
        qpu=row.qpu,
        key=row.key,
        state=JobState(row.state),
        reason=row.reason,
        shots=row.shots,
        options=JobOptions.model_validate(row.options),
        batch_id=row.batch_id,
        attempt=row.attempt,
        program_count=row.program_count,
        estimate_seconds=row.estimate_seconds,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        cancel_requested_at=row.cancel_requested_at,
        timings=row.timings,
        estimate_cost=row.estimate_cost,
        cost_unit=row.cost_unit,
        not_before=row.not_before,
        start_by=row.start_by,
    )
