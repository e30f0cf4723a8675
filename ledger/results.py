"""Storing a job's results, its charge and its last state in one transaction, and reading them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.cost import Price
from qpuflow.domain.job import Job, JobState
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import Scope
from qpuflow.ledger import cost_guard, events, jobs, reservations
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.dataset_codec import decode
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
WRITE = """
    WITH {recorded}, result AS (
        INSERT INTO results (job_id, position, payload_hash)
        SELECT * FROM jsonb_to_recordset(:results)
            AS r (job_id uuid, position int, payload_hash text)
    ), executed AS (
        INSERT INTO executed (job_id, position, part, payload_hash)
        SELECT * FROM jsonb_to_recordset(:executed)
            AS e (job_id uuid, position int, part int, payload_hash text)
        ON CONFLICT DO NOTHING
    ), timed AS (
        UPDATE jobs SET timings = t.timings
        FROM jsonb_to_recordset(:timings) AS t (job_id uuid, timings jsonb)
        WHERE jobs.id = t.job_id
    )
    INSERT INTO charges (job_id, project, "user", qpu, attempt, seconds, cost, unit,
        estimated_cost, credits)
    SELECT * FROM jsonb_to_recordset(:charges) AS c (
        job_id uuid, project text, "user" text, qpu text, attempt int,
        seconds numeric, cost numeric, unit text, estimated_cost numeric, credits numeric
    )
"""
_WRITE = text(WRITE.format(recorded=RECORDED)).bindparams(
    *(bindparam(name, type_=JSONB) for name in ("results", "executed", "timings", "charges"))
)


async def store(
    ledger: Ledger, session: AsyncSession, principal: Principal, finished: Sequence[Finished]
) -> set[UUID]:
    """Write what is not written yet: results, charge, COMPLETED and its event.

    Returns the jobs that were completed by this call. A job that has ended otherwise in the
    meantime, by a cancellation say, keeps that end and costs nothing.
    """
    ids = [one.job.id for one in finished]
    began = time.perf_counter()
    completed = await events.move(session, principal, ids, JobState.COMPLETED, is_settled=True)
    rows = [one for one in finished if one.job.id in completed]
    if not rows:
        return completed
    datasets = [dataset for one in rows for dataset in one.datasets]
    recorded = await ledger.payloads.to_record(session, datasets)
    charges = await _charges(session, rows)
    stored = {"store_seconds": round(time.perf_counter() - began, 6)}
    written = {
        "results": [row for one in rows for row in _results(one)],
        "executed": [row for one in rows for row in _executed(one)],
        "timings": [{"job_id": one.job.id, "timings": one.timings | stored} for one in rows],
        "charges": charges,
    }
    plain = {name: _plain(rows) for name, rows in written.items()}
    await session.execute(_WRITE, recorded | plain)
    await reservations.settle(session, _scope(rows[0].job), charges)
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
