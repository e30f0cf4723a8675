"""What open jobs keep of their project's allowances: reserved, adjusted, given back, settled.

Whoever changes the sums of a project's allowances holds its account book until the commit, so
that nobody reserves more than is there. It comes last: after a batch, a carrier, jobs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.cost import CREDITS
from qpuflow.domain.job import JobState
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import QPU_SECONDS, Allowance, QuotaExceeded, Scope, exact, exceeded
from qpuflow.ledger.allowances import limits, lock, value_of
from qpuflow.ledger.schema import AllowanceRow, JobRow, ReservationRow

# As text: SQLAlchemy takes a millisecond to build it, which each job would pay.
RESERVED = """expected AS (
    SELECT * FROM unnest(CAST(:jobs AS uuid[]), CAST(:amounts AS numeric[])) AS e (job, amount)
    {condition}
), book AS (
    SELECT name FROM projects
    WHERE name = :project AND EXISTS (SELECT FROM allowances WHERE project = :project)
        AND EXISTS (SELECT FROM expected)
    FOR NO KEY UPDATE
), raised AS (
    UPDATE allowances a SET reserved = a.reserved + :total FROM book
    WHERE a.project = book.name AND (a.qpu IS NULL OR a.qpu = :qpu) AND a.unit = :unit
      AND a.granted - a.charged - a.reserved >= :total
    RETURNING a.id
), kept AS (
    INSERT INTO reservations (job_id, allowance_id, amount)
    SELECT expected.job, raised.id, expected.amount FROM raised, expected
)"""
LEFT_OUT = """SELECT a.id FROM allowances a
    WHERE a.project = :project AND (a.qpu IS NULL OR a.qpu = :qpu) AND a.unit = :unit
      AND a.id NOT IN (SELECT id FROM raised)
"""
"""The allowances of which there was not enough, by the numbers that `RESERVED` saw."""
ACCEPTED = """accepted AS (
    INSERT INTO job_events (job_id, actor, via, to_state, detail)
    SELECT job, :actor, :via, 'queued', 'accepted' FROM expected
)"""
_RESERVED = RESERVED.format(condition="")
_RESERVE = text(f"WITH {_RESERVED} {LEFT_OUT}")
_ACCEPT = text(f"WITH {_RESERVED}, {ACCEPTED} {LEFT_OUT}")


async def reserve(session: AsyncSession, scope: Scope, estimates: Mapping[UUID, float]) -> None:
    """Keep what the jobs are expected to use, of all allowances that they fall under.

    Raises `QuotaExceeded` unless it is there for all; the transaction must then be rolled back.
    """
    await _reserve(session, _RESERVE, scope, estimates)


async def accept(
    session: AsyncSession, principal: Principal, scope: Scope, estimates: Mapping[UUID, float]
) -> None:
    """As `reserve`, and the first event of each new job in the same round trip."""
    await _reserve(session, _ACCEPT, scope, estimates, actor=principal.user, via=principal.via)


async def _reserve(
    session: AsyncSession,
    statement: TextClause,
    scope: Scope,
    estimates: Mapping[UUID, float],
    **values: str,
) -> None:
    wanted = expecting(scope, estimates)
    if left_out := list(await session.scalars(statement, {**values, **wanted})):
        amounts = dict(zip(wanted["jobs"], wanted["amounts"], strict=True))
        await _look_again(session, amounts, left_out, wanted["total"])


def expecting(scope: Scope, estimates: Mapping[UUID, float]) -> dict[str, Any]:
    """The values for `RESERVED` and `LEFT_OUT`."""
    amounts = {job_id: exact(seconds) for job_id, seconds in estimates.items()}
    return {
        "project": scope.project,
        "unit": scope.unit,
        "qpu": scope.qpu,
        "total": sum(amounts.values(), Decimal(0)),
        "jobs": list(amounts),
        "amounts": list(amounts.values()),
    }


async def _look_again(
    session: AsyncSession,
    amounts: Mapping[UUID, Decimal],
    allowance_ids: Sequence[int],
    total: Decimal,
) -> None:
    """The numbers were from before the book was ours; now they are not."""
    found = await session.scalars(select(AllowanceRow).where(AllowanceRow.id.in_(allowance_ids)))
    rows = found.all()
    if short := [one for row in rows if (one := value_of(row)).available < total]:
        raise exceeded(short, total)
    for row in rows:
        row.reserved += total
    kept = [_reservation(job_id, row, amount) for job_id, amount in amounts.items() for row in rows]
    await _keep(session, kept)


async def adjust(
    session: AsyncSession, scope: Scope, estimates: Mapping[UUID, float | Decimal]
) -> dict[UUID, QuotaExceeded]:
    """Reserve what the jobs are expected to use by now, for those that are PREPARING.

    Returns the refusal of each job for which that is no longer there. Such a job keeps what it
    had until it ends.
    """
    if not estimates:
        return {}
    if await session.scalar(limits(scope).with_only_columns(AllowanceRow.id).limit(1)) is None:
        return {}
    job_ids = await _lock_preparing(session, estimates)
    await session.execute(lock(scope.project))
    rows = list(await session.scalars(limits(scope)))
    before = await _reserved(session, job_ids)
    refused: dict[UUID, QuotaExceeded] = {}
    kept: list[dict[str, Any]] = []
    for job_id in job_ids:
        amount = exact(estimates[job_id])
        own = {row.id: before.get((job_id, row.id), Decimal(0)) for row in rows}
        if short := [one for row in rows if (one := _short(row, own[row.id], amount))]:
            refused[job_id] = exceeded(short, amount)
            continue
        for row in rows:
            row.reserved += amount - own[row.id]
            kept.append(_reservation(job_id, row, amount))
    await _keep(session, kept)
    return refused


_GIVE_BACK = text(
    """
    WITH books AS (
        SELECT p.name FROM projects p
        WHERE p.name IN (SELECT project FROM jobs WHERE id = ANY(:jobs))
          AND EXISTS (SELECT FROM allowances WHERE project = p.name)
        ORDER BY p.name FOR NO KEY UPDATE
    ), freed AS (
        DELETE FROM reservations WHERE job_id = ANY(:jobs) RETURNING allowance_id, amount
    ), sums AS (
        SELECT allowance_id, sum(amount) AS amount FROM freed GROUP BY allowance_id
    )
    UPDATE allowances a SET reserved = a.reserved - sums.amount FROM books, sums
    WHERE a.project = books.name AND a.id = sums.allowance_id
    """
)


async def give_back(session: AsyncSession, job_ids: Collection[UUID]) -> None:
    """These jobs have ended: they keep nothing any more."""
    await session.execute(_GIVE_BACK, {"jobs": list(job_ids)})


_SETTLE = text(
    """
    WITH book AS (
        SELECT p.name FROM projects p
        WHERE p.name = :project AND EXISTS (SELECT FROM allowances WHERE project = p.name)
        FOR NO KEY UPDATE
    ), freed AS (
        DELETE FROM reservations WHERE job_id = ANY(:jobs) RETURNING allowance_id, amount
    ), change AS (
        SELECT allowance_id AS id, -amount AS reserved, 0 AS charged FROM freed
        UNION ALL
        SELECT a.id, 0, used.amount
        FROM unnest(CAST(:units AS text[]), CAST(:amounts AS numeric[])) AS used (unit, amount)
        JOIN allowances a ON a.unit = used.unit
        WHERE a.project = :project AND (a.qpu IS NULL OR a.qpu = :qpu)
    ), sums AS (
        SELECT id, sum(reserved) AS reserved, sum(charged) AS charged FROM change GROUP BY id
    )
    UPDATE allowances a SET
        reserved = a.reserved + sums.reserved, charged = a.charged + sums.charged
    FROM book, sums WHERE a.project = book.name AND a.id = sums.id
    """
)


async def settle(
    session: AsyncSession, scope: Scope, charges: Collection[Mapping[str, Any]]
) -> None:
    """Count rows of `charges` of one project on one QPU, in all of their units; what their jobs
    kept is free again.

    This transaction has written them before: their foreign key holds the project's row, so that
    no allowance was opened in between.
    """
    sums: dict[str, Decimal] = {}
    for row in charges:
        for unit, amount in _amounts(row).items():
            sums[unit] = sums.get(unit, Decimal(0)) + amount
    values = {
        "project": scope.project,
        "qpu": scope.qpu,
        "jobs": [row["job_id"] for row in charges],
        "units": list(sums),
        "amounts": list(sums.values()),
    }
    await session.execute(_SETTLE, values)


def _amounts(charge: Mapping[str, Any]) -> dict[str, Decimal]:
    """By unit. What has a price is charged in that, and as QPU time."""
    found = {QPU_SECONDS: charge["seconds"]}
    if charge["unit"] != QPU_SECONDS:
        found[charge["unit"]] = charge["cost"]
    if charge["credits"] is not None:
        found[CREDITS] = charge["credits"]
    return {unit: amount for unit, amount in found.items() if amount or unit == QPU_SECONDS}


def _short(row: AllowanceRow, own: Decimal, amount: Decimal) -> Allowance | None:
    """The allowance without what the job has of it, if that is not enough for more."""
    others = replace(value_of(row), reserved=row.reserved - own)
    return others if own < amount and others.available < amount else None


def _reservation(job_id: UUID, row: AllowanceRow, amount: Decimal) -> dict[str, Any]:
    return {"job_id": job_id, "allowance_id": row.id, "amount": amount}


async def _lock_preparing(session: AsyncSession, job_ids: Collection[UUID]) -> list[UUID]:
    rows = await session.scalars(
        select(JobRow.id)
        .where(JobRow.id.in_(job_ids), JobRow.state == JobState.PREPARING.value)
        .order_by(JobRow.id)
        .with_for_update(key_share=True)
    )
    return list(rows)


async def _reserved(
    session: AsyncSession, job_ids: Collection[UUID]
) -> dict[tuple[UUID, int], Decimal]:
    rows = await session.scalars(select(ReservationRow).where(ReservationRow.job_id.in_(job_ids)))
    return {(row.job_id, row.allowance_id): row.amount for row in rows}


async def _keep(session: AsyncSession, kept: Sequence[Mapping[str, Any]]) -> None:
    if not kept:
        return
    statement = upsert(ReservationRow).values(kept)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["job_id", "allowance_id"],
            set_={"amount": statement.excluded.amount},
        )
    )
