"""Whether a job that came to nothing is tried once more."""

from __future__ import annotations

from qpuflow.domain.errors import Refused
from qpuflow.domain.job import JobState
from qpuflow.tasks.work import Carrying, Work


def again(carrying: Carrying, work: Work, reason: str) -> Work:
    """Queued for its next attempt, or failed when it has had its last."""
    if work.job.attempt >= carrying.settings.max_attempts:
        return work.ended(JobState.FAILED, f"Given up after {work.job.attempt} attempts: {reason}")
    return work.ended(JobState.QUEUED, reason)


PATIENT_TIMES = 5
LONGEST_PAUSE_SECONDS = 60.0
"""A lane is held meanwhile. Who is to wait longer queues again."""


def pause_seconds(refusal: Refused, times: int) -> float | None:
    """How long to leave a QPU alone that asked for it, before the same attempt goes on.

    None: it did not ask, has asked `PATIENT_TIMES` already, or asks for too long.
    """
    asked = refusal.retry_after_seconds
    if asked is None or times >= PATIENT_TIMES or asked > LONGEST_PAUSE_SECONDS:
        return None
    return asked
