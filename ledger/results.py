"""Storing a job's results, its charge and its last state in one transaction, and reading them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.cost import Price
from qpuflow.domain.job import Job, JobState
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import Scope
from qpuflow.ledger import cost_guard, events, jobs, reservations
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.dataset_codec import decode
from qpuflow.ledger.payload_store import Stored
from qpuflow.ledger.schema import Charge, Executed, JobRow, ResultRow

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


_TIMED = (
    update(JobRow)
    .where(JobRow.id == bindparam("job"))
    .values(timings=bindparam("timings_", type_=JSONB))
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
    completed = await events.move(session, principal, ids, JobState.COMPLETED)
    rows = [one for one in finished if one.job.id in completed]
    if not rows:
        return completed
    await ledger.payloads.record(session, [dataset for one in rows for dataset in one.datasets])
    # Not by way of the ORM, which does more than these rows need.
    connection = await session.connection()
    await connection.execute(insert(ResultRow), [row for one in rows for row in _results(one)])
    executed = [row for one in rows for row in _executed(one)]
    if executed:
        await connection.execute(upsert(Executed).on_conflict_do_nothing(), executed)
    charges = await _charges(session, rows)
    await connection.execute(insert(Charge), charges)
    stored = {"store_seconds": round(time.perf_counter() - began, 6)}
    timings = [{"job": one.job.id, "timings_": one.timings | stored} for one in rows]
    await connection.execute(_TIMED, timings)
    await reservations.settle(session, charges)
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
    first = rows[0].job
    prices = await cost_guard.charged(session, Scope(first.project, first.qpu), used)
    return [_charge(one, *prices.get(one.job.id, (None, None))) for one in rows]


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
