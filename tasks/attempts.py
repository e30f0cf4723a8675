"""Whether a job that came to nothing is tried once more."""

from __future__ import annotations

from qpuflow.domain.errors import Refused
from qpuflow.domain.job import JobState
from qpuflow.domain.settings import Settings
from qpuflow.tasks.work import Carrying, Work


def again(carrying: Carrying, work: Work, reason: str) -> Work:
    """Queued for its next attempt, or failed when it has had its last."""
    if work.job.attempt >= carrying.settings.max_attempts:
        return work.ended(JobState.FAILED, f"Given up after {work.job.attempt} attempts: {reason}")
    return work.ended(JobState.QUEUED, reason)


PATIENT_TIMES = 5
"""A lane is held meanwhile. Who is to wait longer queues again."""


def pause_seconds(refusal: Refused, times: int, settings: Settings) -> float | None:
    """How long to leave a QPU alone that refused, before the same attempt goes on.

    As long as it asked for; twice as long each time, if it did not say. None: it has refused
    `PATIENT_TIMES` already, or asks for too long.
    """
    asked = refusal.retry_after_seconds
    pause = settings.refused_pause_seconds * 2**times if asked is None else asked
    return None if times >= PATIENT_TIMES or pause > settings.longest_pause_seconds else pause
