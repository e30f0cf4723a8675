"""A job's life: its states, and the only ways from one to the next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from qpuflow.domain.errors import Conflict
from qpuflow.domain.request import JobOptions


class JobState(StrEnum):
    QUEUED = "queued"
    """Accepted and durable; its turn has not come."""
    PREPARING = "preparing"
    """A carrier transpiles it or waits for its slot."""
    UNAPPROVED = "unapproved"
    """It costs more than may be spent unasked: an operator approves or rejects it."""
    RUNNING = "running"
    """It holds a lease; from here an intent may exist."""
    WAITING = "waiting"
    """The QPU has accepted it: a ticket exists."""
    AMBIGUOUS = "ambiguous"
    """Nobody knows whether the QPU accepted it; it is being reconciled, never submitted again."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in FINAL

    @property
    def may_be_at_qpu(self) -> bool:
        """A carrier has, or may have, handed it over."""
        return self in AT_QPU


_S = JobState
FINAL = frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED})
OPEN = frozenset(JobState) - FINAL
AT_QPU = frozenset({_S.RUNNING, _S.WAITING, _S.AMBIGUOUS})

TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    _S.QUEUED: frozenset({_S.PREPARING, _S.FAILED, _S.CANCELLED}),
    _S.PREPARING: frozenset({_S.QUEUED, _S.UNAPPROVED, _S.RUNNING, _S.FAILED, _S.CANCELLED}),
    # Nothing is at a QPU: approved, it is prepared anew.
    _S.UNAPPROVED: frozenset({_S.QUEUED, _S.FAILED, _S.CANCELLED}),
    # Back to QUEUED only uncharged: refused by the QPU, or cut off before it was accepted.
    _S.RUNNING: frozenset({_S.QUEUED, _S.WAITING, _S.AMBIGUOUS, _S.FAILED, _S.CANCELLED}),
    # Back to QUEUED when the QPU has no outside effects, or a running job was cut off uncharged.
    _S.WAITING: frozenset({_S.QUEUED, _S.COMPLETED, _S.FAILED, _S.CANCELLED}),
    _S.AMBIGUOUS: frozenset({_S.QUEUED, _S.WAITING, _S.FAILED, _S.CANCELLED}),
    _S.COMPLETED: frozenset(),
    # A retry asked for by a person is a new attempt of the same job.
    _S.FAILED: frozenset({_S.QUEUED}),
    _S.CANCELLED: frozenset(),
}


class IllegalTransition(Conflict):
    """The job is in another state than the caller believed."""


def check_transition(current: JobState, new: JobState) -> None:
    if new not in TRANSITIONS[current]:
        raise IllegalTransition(f"A {current.value} job cannot become {new.value}")


def sources_of(new: JobState) -> frozenset[JobState]:
    """Every state from which `new` can be reached in one step."""
    return frozenset(state for state, after in TRANSITIONS.items() if new in after)


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the ledger as the rest of qpuflow sees it. Times are UTC."""

    id: UUID
    user: str
    project: str
    qpu: str
    key: str
    state: JobState
    reason: str | None
    shots: int
    options: JobOptions
    batch_id: UUID
    attempt: int
    program_count: int
    estimate_seconds: float
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    timings: dict[str, float]
    estimate_cost: Decimal | None = None
    """In `cost_unit`; None where nobody charges but for time, and before it was compiled."""
    cost_unit: str | None = None
    not_before: datetime | None = None
    start_by: datetime | None = None
    """The earliest start, and the latest that is of use."""
