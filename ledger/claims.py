"""Which carriers start next: those whose jobs the policy would take first.

Starting is not running: a carrier that has started transpiles, and then asks the arbiter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.policy import PolicyRules, QpuState, Waiting, in_order, obstacle
from qpuflow.ledger import arbiter
from qpuflow.ledger.carriers import Carriage
from qpuflow.ledger.schema import BatchKind

AHEAD = timedelta(seconds=5)
"""So long before its job may start a carrier begins to prepare it."""
NOT_BEFORE_AHEAD_SECONDS = 2.0
"""The same where a moment was asked for: it looks every second, and has a seat meanwhile."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A carrier that nobody has begun. One that is urgent is let in where others have to wait."""

    carriage: Carriage
    is_urgent: bool


@dataclass(frozen=True, slots=True)
class Held:
    """Carriers that Prefect holds back, in work queues that somebody paused."""

    runs: frozenset[UUID] = frozenset()
    is_own: bool = False
    """Those too that have no run yet."""

    def holds(self, flow_run_id: UUID | None) -> bool:
        return self.is_own if flow_run_id is None else flow_run_id in self.runs


NOTHING = Held()

# Of each user the oldest and those with a job that was moved up; and of each the job that is next.
UNBEGUN = text(
    """
    WITH current AS (
        SELECT c.id, c.batch_id, c.number, c.flow_run_id, c.created_at, b.kind, b."user", b.project,
            EXISTS (SELECT FROM jobs j WHERE j.batch_id = b.id AND j.moved_up_at IS NOT NULL
                    AND j.state = 'queued') AS is_first
        FROM carriers c JOIN batches b ON b.id = c.batch_id
        WHERE c.state IN ('pending', 'live') AND c.holder IS NULL AND b.qpu = :qpu
            AND c.asleep_at IS NULL AND c.resting_since IS NULL
            AND (b.not_before IS NULL
                OR b.not_before < clock_timestamp() + make_interval(secs => :ahead)
                OR NOT EXISTS (SELECT FROM jobs WHERE batch_id = b.id AND state = 'queued'))
            AND CASE WHEN c.flow_run_id IS NULL THEN NOT :is_own_held
                ELSE c.flow_run_id <> ALL(:held) END
    ), oldest AS (
        SELECT DISTINCT ON ("user", project, is_first) *
        FROM current ORDER BY "user", project, is_first, created_at
    )
    SELECT o.id, o.batch_id, o.number, o.flow_run_id, o.kind, o."user", o.project, o.is_first,
        (extract(epoch FROM o.created_at) * 1e6)::bigint, coalesce(j.estimate_seconds, 0),
        EXISTS (SELECT FROM jobs WHERE batch_id = o.batch_id
                AND state IN ('running', 'waiting', 'ambiguous'))
    FROM oldest o LEFT JOIN LATERAL (
        SELECT estimate_seconds FROM jobs
        WHERE batch_id = o.batch_id AND state = 'queued' ORDER BY number LIMIT 1
    ) j ON true
    """
)


async def next_carriers(
    session: AsyncSession, qpu: str, rules: PolicyRules, held: Held = NOTHING
) -> list[Candidate]:
    """First whoever should start first; none that something keeps from running soon.

    One of each user. What the QPU has already is asked for before all, whatever is booked.
    """
    values = {
        "qpu": qpu,
        "held": list(held.runs),
        "is_own_held": held.is_own,
        "ahead": NOT_BEFORE_AHEAD_SECONDS,
    }
    rows = (await session.execute(UNBEGUN, values)).tuples().all()
    if not rows:
        return []
    carriages = {row[0]: _carriage(qpu, *row[:6]) for row in rows}
    now, state = await arbiter.outlook(session, qpu, rules, [_waiting(row) for row in rows])
    begun = [Candidate(carriages[row[0]], is_urgent=True) for row in rows if row[-1]]
    if state.closed is not None:
        return begun
    known = {one.carriage.id for one in begun}
    return begun + [
        Candidate(carriages[job.id], _is_booker(state, job, now + AHEAD))
        for job in in_order(state, now + AHEAD)
        if isinstance(job.id, UUID) and job.id not in known and _starts_soon(state, job, now)
    ]


def _carriage(
    qpu: str, carrier: UUID, batch: UUID, number: int, flow_run: UUID | None, kind: str, user: str
) -> Carriage:
    return Carriage(carrier, batch, BatchKind(kind), qpu, user, number, flow_run, None)


def _waiting(row: Sequence[object]) -> Waiting:
    carrier, batch, *_, user, project, is_first, age, estimate, _ = row
    return Waiting(carrier, batch, user, project, age, estimate, is_first=is_first)  # type: ignore[arg-type]


def _starts_soon(state: QpuState, job: Waiting, now: datetime) -> bool:
    return obstacle(state, job, now) is None or obstacle(state, job, now + AHEAD) is None


def _is_booker(state: QpuState, job: Waiting, at: datetime) -> bool:
    return any(
        slot.project == job.project and slot.starts_at <= at < slot.ends_at for slot in state.slots
    )
