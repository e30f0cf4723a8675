"""Whether a job that came to nothing is tried once more."""

from __future__ import annotations

from qpuflow.domain.job import JobState
from qpuflow.tasks.work import Carrying, Work


def again(carrying: Carrying, work: Work, reason: str) -> Work:
    """Queued for its next attempt, or failed when it has had its last."""
    if work.job.attempt >= carrying.settings.max_attempts:
        return work.ended(JobState.FAILED, f"Given up after {work.job.attempt} attempts: {reason}")
    return work.ended(JobState.QUEUED, reason)
