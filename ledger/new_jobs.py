"""What is accepted: submissions, and the rows of their jobs and programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from qpuflow.domain.job import JobState
from qpuflow.domain.principal import Principal
from qpuflow.domain.request import JobRequest, ProgramFormat
from qpuflow.ledger.payload_store import Stored


@dataclass(frozen=True, slots=True)
class AcceptedProgram:
    """A program that has been parsed, with the place of its source."""

    name: str
    format: ProgramFormat
    source: Stored
    parameters: list[dict[str, float]]
    observables: dict[str, dict[str, float]]
    num_qubits: int
    num_clbits: int


@dataclass(frozen=True, slots=True)
class Submission:
    """One job to be."""

    request: JobRequest
    qpu: str
    key: str
    programs: Sequence[AcceptedProgram]
    estimate_seconds: float

    @property
    def content_hash(self) -> str:
        return self.request.content_hash(self.qpu)


INSERTED = """new_jobs AS (
    INSERT INTO jobs (
        id, "user", project, qpu, key, content_hash, state, shots, options, program_count,
        batch_id, attempt, carriers_lost, estimate_seconds, not_before, start_by
    )
    SELECT
        id, "user", project, qpu, key, content_hash, state, shots, options, program_count,
        {batch_id}, 1, 0, estimate_seconds, not_before, start_by
    FROM json_populate_recordset(NULL::jobs, CAST(:job_rows AS json)){condition}
    RETURNING id
), new_programs AS (
    INSERT INTO programs
    SELECT * FROM json_populate_recordset(NULL::programs, CAST(:program_rows AS json)){condition}
)"""
"""Part of a WITH: jobs in their order, with their programs, by the values of `inserting`."""


def inserting(
    principal: Principal, submissions: Mapping[UUID, Submission], batch_ids: Mapping[UUID, UUID]
) -> dict[str, Any]:
    """`submissions` and `batch_ids` by job; without the latter the statement knows the batch."""
    jobs = [
        _job(job_id, batch_ids.get(job_id), principal, one) for job_id, one in submissions.items()
    ]
    programs = [row for job_id, one in submissions.items() for row in _programs(job_id, one)]
    return {"job_rows": _json(jobs), "program_rows": _json(programs)}


def _json(rows: Sequence[Mapping[str, object]]) -> str:
    return json.dumps(rows, default=str, separators=(",", ":"), allow_nan=False)


def _job(
    job_id: UUID, batch_id: UUID | None, principal: Principal, submission: Submission
) -> dict[str, object]:
    return {
        "id": job_id,
        "user": principal.user,
        "project": principal.project,
        "qpu": submission.qpu,
        "key": submission.key,
        "content_hash": submission.content_hash,
        "state": JobState.QUEUED.value,
        "shots": submission.request.shots,
        "options": submission.request.options.model_dump(mode="json"),
        "program_count": len(submission.programs),
        "batch_id": batch_id,
        "estimate_seconds": submission.estimate_seconds,
        "not_before": submission.request.not_before,
        "start_by": submission.request.start_by,
    }


def _programs(job_id: UUID, submission: Submission) -> list[dict[str, object]]:
    return [
        {
            "job_id": job_id,
            "position": position,
            "name": program.name,
            "format": program.format.value,
            "source_hash": program.source.hash,
            "parameters": program.parameters,
            "observables": program.observables,
            "num_qubits": program.num_qubits,
            "num_clbits": program.num_clbits,
        }
        for position, program in enumerate(submission.programs)
    ]
