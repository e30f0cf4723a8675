"""Storing a job's results, its charge and its last state in one transaction, and reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.cost import Price
from qpuflow.domain.job import Job, JobState, sources_of
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import Scope
from qpuflow.ledger import cost_guard, events, jobs, reservations
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.dataset_codec import decode
from qpuflow.ledger.live import checked, require_live
from qpuflow.ledger.payload_store import RECORDED, Stored
from qpuflow.ledger.schema import ResultRow

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, slots=True)
class Finished:
    """A job with all of its results: per program the encoded dataset and what was executed."""

    job: Job
    datasets: Sequence[Stored]
    executed: Sequence[Sequence[str]]
    seconds: float
    cost: float
    unit: str
    timings: dict[str, float]
    may_cost: bool = False
    """Somebody outside may charge for it, be it for its time only."""


# As text, and all in one: a loop waits for every round trip.
_FINISHED = checked("""{live}, before AS (
    SELECT id, state, t.timings FROM jobs
    JOIN jsonb_to_recordset(:timings) AS t (job_id uuid, timings jsonb) ON t.job_id = id
    WHERE state = ANY(:sources)
      AND (CAST(:carrier AS uuid) IS NULL OR EXISTS (SELECT FROM live))
    ORDER BY id FOR UPDATE OF jobs
)""")
_TIMED = """, timings = before.timings || jsonb_build_object(
    'store_seconds', round(extract(epoch FROM clock_timestamp() - now()), 6)
)"""
RESULTS = """{recorded}, result AS (
    INSERT INTO results (job_id, position, payload_hash)
    SELECT r.* FROM jsonb_to_recordset(:results)
        AS r (job_id uuid, position int, payload_hash text)
    JOIN moved ON moved.id = r.job_id
), executed AS (
    INSERT INTO executed (job_id, position, part, payload_hash)
    SELECT e.* FROM jsonb_to_recordset(:executed)
        AS e (job_id uuid, position int, part int, payload_hash text)
    JOIN moved ON moved.id = e.job_id
    ON CONFLICT DO NOTHING
), charged AS (
    INSERT INTO charges (job_id, project, "user", qpu, attempt, seconds, cost, unit,
        estimated_cost, credits)
    SELECT c.* FROM jsonb_to_recordset(:charges) AS c (
        job_id uuid, project text, "user" text, qpu text, attempt int,
        seconds numeric, cost numeric, unit text, estimated_cost numeric, credits numeric
    ) JOIN moved ON moved.id = c.job_id
)"""
_STORE = events.statement(
    JobState.COMPLETED,
    before=_FINISHED,
    changes=_TIMED,
    besides=RESULTS.format(recorded=RECORDED),
).bindparams(
    *(bindparam(name, type_=JSONB) for name in ("results", "executed", "timings", "charges"))
)


async def store(
    ledger: Ledger,
    session: AsyncSession,
    principal: Principal,
    finished: Sequence[Finished],
    carrier_id: UUID | None = None,
) -> set[UUID]:
    """Write what is not written yet: results, charge, COMPLETED and its event.

    Returns the jobs that were completed by this call. A job that has ended otherwise in the
    meantime, by a cancellation say, keeps that end and costs nothing. Raises `CarrierLost` when
    they are not that carrier's any more.
    """
    if not finished:
        return set()
    datasets = [dataset for one in finished for dataset in one.datasets]
    recorded = await ledger.payloads.to_record(session, datasets)
    charges = await _charges(session, finished)
    written = {
        "results": [row for one in finished for row in _results(one)],
        "executed": [row for one in finished for row in _executed(one)],
        "timings": [{"job_id": one.job.id, "timings": one.timings} for one in finished],
        "charges": charges,
    }
    values = {
        **events.values_of(principal, JobState.COMPLETED),
        "sources": events.values_in(sources_of(JobState.COMPLETED)),
        "carrier": carrier_id,
    }
    plain = {name: _plain(rows) for name, rows in written.items()}
    completed = set(await session.scalars(_STORE, values | recorded | plain))
    if len(completed) < len(finished) and carrier_id is not None:
        await require_live(session, carrier_id)
    if completed:
        settled = [row for row in charges if row["job_id"] in completed]
        await reservations.settle(session, _scope(finished[0].job), settled)
    return completed


async def read(
    ledger: Ledger, session: AsyncSession, principal: Principal, job_id: UUID
) -> list[xr.Dataset]:
    """The datasets of a job's programs, in order; empty until it has completed."""
    await jobs.find(session, principal, job_id)
    rows = await session.execute(
        select(ResultRow.position, ResultRow.payload_hash)
        .where(ResultRow.job_id == job_id)
        .order_by(ResultRow.position)
    )
    found = rows.tuples().all()
    bodies = await ledger.payloads.read(session, list({key for _, key in found}))
    return [decode(bodies[key]) for _, key in found]


def _plain(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """As JSON has it; of text PostgreSQL makes what it was."""
    return [
        {name: str(one) if isinstance(one, UUID | Decimal) else one for name, one in row.items()}
        for row in rows
    ]


def _results(one: Finished) -> list[dict[str, Any]]:
    return [
        {"job_id": one.job.id, "position": position, "payload_hash": dataset.hash}
        for position, dataset in enumerate(one.datasets)
    ]


def _executed(one: Finished) -> list[dict[str, Any]]:
    return [
        {"job_id": one.job.id, "position": position, "part": part, "payload_hash": key}
        for position, parts in enumerate(one.executed)
        for part, key in enumerate(parts)
    ]


async def _charges(session: AsyncSession, rows: Sequence[Finished]) -> list[dict[str, Any]]:
    """Of one project on one QPU, as a batch is."""
    used = {one.job.id: (one.seconds, one.cost, one.unit) for one in rows if one.may_cost}
    if not used:
        return [_charge(one) for one in rows]
    prices = await cost_guard.charged(session, _scope(rows[0].job), used)
    return [_charge(one, *prices.get(one.job.id, (None, None))) for one in rows]


def _scope(job: Job) -> Scope:
    return Scope(job.project, job.qpu)


def _charge(
    one: Finished, expected: Decimal | None = None, price: Price | None = None
) -> dict[str, Any]:
    return {
        "job_id": one.job.id,
        "project": one.job.project,
        "user": one.job.user,
        "qpu": one.job.qpu,
        "attempt": one.job.attempt,
        "seconds": Decimal(f"{one.seconds:.6f}"),
        "cost": Decimal(f"{one.cost:.6f}"),
        "unit": one.unit,
        "estimated_cost": expected,
        "credits": price.credits if price is not None else None,
    }
