"""Which carriers start next: those whose jobs the policy would take first.

Starting is not running: a carrier that has started transpiles, and then asks the arbiter.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.policy import PolicyRules, QpuState, Waiting, in_order, obstacles
from qpuflow.ledger import arbiter
from qpuflow.ledger.carriers import Carriage
from qpuflow.ledger.schema import BatchKind

AHEAD = timedelta(seconds=5)
"""So long before its job may start a carrier begins to prepare it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A carrier that nobody has begun. One that is urgent is let in where others have to wait.

    `ahead_of`: so many of those that have a seat, and wait for a lane, come after it.
    """

    carriage: Carriage
    is_urgent: bool
    ahead_of: int = 0


@dataclass(frozen=True, slots=True)
class Queue:
    """Who starts next, in the order of the policy: made as they are taken, once."""

    candidates: Iterator[Candidate] = field(default_factory=lambda: iter(()))
    seated: tuple[Hashable, ...] = ()
    """Batches whose carriers have a seat and wait for a lane, in the same order; those that
    something keeps from running soon come last."""

    def __iter__(self) -> Iterator[Candidate]:
        return self.candidates


@dataclass(frozen=True, slots=True)
class Held:
    """Carriers that Prefect holds back, in work queues that somebody paused."""

    runs: frozenset[UUID] = frozenset()
    """Or the carriers themselves, as long as they have none."""
    is_own: bool = False
    """Those too that have no run yet."""

    def holds(self, flow_run_id: UUID | None) -> bool:
        return self.is_own if flow_run_id is None else flow_run_id in self.runs


NOTHING = Held()

# Of each user the oldest and those with a job that was moved up; and of each, where a booking may
# be in its way, how long the job takes that is next.
# One whose earliest start is near is let in before it: it looks every second, and has a seat
# meanwhile. How near is no parameter, or PostgreSQL would plan this anew each time.
# Sets that are nearly always empty are looked up once, and not for each of ten thousand carriers.
# Most of the time goes into the sort: what it compares stands first, and in the order of bytes,
# since the order among users says nothing. What makes a `Waiting` comes first in the answer.
UNBEGUN = text(
    """
    WITH held AS (
        SELECT unnest(CAST(:held AS uuid[])) AS id
    ), oldest AS (
        SELECT DISTINCT ON ("user", project, is_first)
            b."user" COLLATE "C" AS "user", b.project COLLATE "C" AS project,
            b.id IN (SELECT batch_id FROM jobs
                     WHERE moved_up_at IS NOT NULL AND state = 'queued') AS is_first,
            c.created_at, c.id, c.batch_id, c.number, c.flow_run_id, b.kind
        FROM carriers c JOIN batches b ON b.id = c.batch_id
        WHERE c.state IN ('pending', 'live') AND c.holder IS NULL AND b.qpu = :qpu
            AND c.asleep_at IS NULL AND c.resting_since IS NULL
            AND b.id NOT IN (
                SELECT id FROM batches later
                WHERE not_before >= statement_timestamp() + interval '2 s'
                    AND EXISTS (SELECT FROM jobs WHERE batch_id = later.id AND state = 'queued'))
            AND c.id NOT IN (SELECT id FROM held)
            AND CASE WHEN c.flow_run_id IS NULL THEN NOT :is_own_held
                ELSE c.flow_run_id NOT IN (SELECT id FROM held) END
        ORDER BY "user", project, is_first, created_at
    ), booked AS (
        SELECT FROM bookings
        WHERE qpu = :qpu AND state = 'active' AND ends_at > statement_timestamp()
    )
    SELECT id, batch_id, "user", project, CAST(date_part('epoch', created_at) * 1e6 AS bigint),
        coalesce(CASE WHEN EXISTS (SELECT FROM booked) THEN (
            SELECT estimate_seconds FROM jobs
            WHERE batch_id = oldest.batch_id AND state = 'queued' ORDER BY number LIMIT 1
        ) END, 0),
        is_first, number, flow_run_id, kind,
        batch_id IN (SELECT batch_id FROM jobs WHERE state IN ('running', 'waiting', 'ambiguous'))
    FROM oldest
    """
)


async def next_carriers(
    session: AsyncSession,
    qpu: str,
    rules: PolicyRules,
    held: Held = NOTHING,
    *,
    silence_seconds: float = 0.0,
) -> Queue:
    """First whoever should start first; none that something keeps from running soon.

    One of each user, those that are urgent before all others. What the QPU has already is asked
    for first, whatever is booked. Whoever has a seat was heard of within `silence_seconds`.
    """
    values = {"qpu": qpu, "held": list(held.runs), "is_own_held": held.is_own}
    rows = (await session.execute(UNBEGUN, values)).tuples().all()
    if not rows:
        return Queue()
    jobs = [Waiting(*row[:6], is_first=row[6]) for row in rows]
    standing, state = await arbiter.outlook(
        session, qpu, rules, jobs, silence_seconds=silence_seconds
    )
    seated = _seated(state, standing.asking, standing.now)
    return Queue(_candidates(qpu, rows, state, standing.now, seated), tuple(seated))


def _seated(state: QpuState, asking: Sequence[Waiting], now: datetime) -> dict[Hashable, Waiting]:
    """By batch, its first job: a batch asks with many."""
    if state.closed is not None:
        return {}
    soon, first = now + AHEAD, dict[Hashable, Waiting]()
    is_kept = _kept(state, now)
    for job in sorted(in_order(replace(state, waiting=tuple(asking)), soon), key=is_kept):
        first.setdefault(job.batch, job)
    return first


def _kept(state: QpuState, now: datetime) -> Callable[[Waiting], bool]:
    """Whether something keeps a job from running now and soon."""
    kept_now, kept_soon = obstacles(state, now), obstacles(state, now + AHEAD)
    return lambda job: kept_now(job) is not None and kept_soon(job) is not None


def _candidates(
    qpu: str,
    rows: Sequence[tuple[Any, ...]],
    state: QpuState,
    now: datetime,
    seated: Mapping[Hashable, Waiting],
) -> Iterator[Candidate]:
    """Made as they are taken: few of a long queue have a seat."""
    at_qpu = [row for row in rows if row[-1]]
    others = {row[0]: row for row in rows if not row[-1]}
    for row in at_qpu:
        yield Candidate(_carriage(qpu, row), is_urgent=True, ahead_of=len(seated))
    if state.closed is not None:
        return
    soon, is_kept, behind = now + AHEAD, _kept(state, now), len(seated)
    for job in in_order(replace(state, waiting=(*state.waiting, *seated.values())), soon):
        if is_kept(job):
            continue
        if job.id in others:
            is_urgent = _is_booker(state, job, soon)
            yield Candidate(_carriage(qpu, others[job.id]), is_urgent, behind)
        elif job.batch in seated:
            behind -= 1


def _carriage(qpu: str, row: tuple[Any, ...]) -> Carriage:
    carrier, batch, user, *_, number, flow_run, kind, _ = row
    return Carriage(carrier, batch, BatchKind(kind), qpu, user, number, flow_run, None)


def _is_booker(state: QpuState, job: Waiting, at: datetime) -> bool:
    return any(
        slot.project == job.project and slot.starts_at <= at < slot.ends_at for slot in state.slots
    )
