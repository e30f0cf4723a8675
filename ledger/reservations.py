"""What open jobs keep of their project's allowances: reserved, adjusted, given back, settled.

Whoever changes the sums of a project's allowances holds its account book until the commit, so
that nobody reserves more than is there. It comes last: after a batch, a carrier, jobs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.job import JobState
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import Allowance, QuotaExceeded, Scope, exact, exceeded
from qpuflow.ledger.allowances import limits, lock, under, value_of
from qpuflow.ledger.schema import AllowanceRow, JobRow, ReservationRow

# As text: SQLAlchemy takes a millisecond to build it, which each job would pay.
RESERVE = """
WITH book AS (
    SELECT name FROM projects
    WHERE name = :project AND EXISTS (SELECT FROM allowances WHERE project = :project)
    FOR NO KEY UPDATE
), raised AS (
    UPDATE allowances a SET reserved = a.reserved + :amount FROM book
    WHERE a.project = book.name AND (a.qpu IS NULL OR a.qpu = :qpu) AND a.unit = :unit
      AND a.granted - a.charged - a.reserved >= :amount
    RETURNING a.id
), kept AS (
    INSERT INTO reservations (job_id, allowance_id, amount)
    SELECT :job, id, :amount FROM raised
){accepted}
SELECT a.id FROM allowances a
WHERE a.project = :project AND (a.qpu IS NULL OR a.qpu = :qpu) AND a.unit = :unit
  AND a.id NOT IN (SELECT id FROM raised)
"""
ACCEPTED = """, accepted AS (
    INSERT INTO job_events (job_id, actor, via, to_state, detail)
    VALUES (:job, :actor, :via, 'queued', 'accepted')
)"""
_RESERVE = text(RESERVE.format(accepted=""))
_ACCEPT = text(RESERVE.format(accepted=ACCEPTED))


async def reserve(session: AsyncSession, job_id: UUID, scope: Scope, seconds: float) -> None:
    """Keep what the job is expected to use, of all allowances that it falls under.

    Raises `QuotaExceeded`; the transaction must then be rolled back.
    """
    await _reserve(session, _RESERVE, job_id, scope, seconds)


async def accept(
    session: AsyncSession, principal: Principal, job_id: UUID, scope: Scope, seconds: float
) -> None:
    """As `reserve`, and the first event of a new job in the same round trip."""
    by = {"actor": principal.user, "via": principal.via}
    await _reserve(session, _ACCEPT, job_id, scope, seconds, **by)


async def _reserve(
    session: AsyncSession,
    statement: TextClause,
    job_id: UUID,
    scope: Scope,
    seconds: float,
    **values: str,
) -> None:
    amount = exact(seconds)
    values |= {"project": scope.project, "unit": scope.unit}
    wanted = {**values, "job": job_id, "qpu": scope.qpu, "amount": amount}
    if left_out := list(await session.scalars(statement, wanted)):
        await _look_again(session, job_id, left_out, amount)


async def _look_again(
    session: AsyncSession, job_id: UUID, allowance_ids: Sequence[int], amount: Decimal
) -> None:
    """The numbers were from before the book was ours; now they are not."""
    found = await session.scalars(select(AllowanceRow).where(AllowanceRow.id.in_(allowance_ids)))
    rows = found.all()
    if short := [one for row in rows if (one := value_of(row)).available < amount]:
        raise exceeded(short, amount)
    for row in rows:
        row.reserved += amount
    await _keep(session, [_reservation(job_id, row, amount) for row in rows])


async def adjust(
    session: AsyncSession, scope: Scope, estimates: Mapping[UUID, float]
) -> dict[UUID, QuotaExceeded]:
    """Reserve what the jobs are expected to use by now, for those that are PREPARING.

    Returns the refusal of each job for which that is no longer there. Such a job keeps what it
    had until it ends.
    """
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


async def give_back(session: AsyncSession, job_ids: Collection[UUID]) -> None:
    """These jobs have ended: they keep nothing any more."""
    projects = select(JobRow.project).where(JobRow.id.in_(job_ids))
    books = lock(projects).cte("books")
    freed = (
        delete(ReservationRow)
        .where(ReservationRow.job_id.in_(job_ids))
        .returning(ReservationRow.allowance_id, ReservationRow.amount)
        .cte("freed")
    )
    sums = (
        select(freed.c.allowance_id, func.sum(freed.c.amount).label("amount"))
        .group_by(freed.c.allowance_id)
        .cte("sums")
    )
    await session.execute(
        update(AllowanceRow)
        .where(AllowanceRow.project == books.c.name, AllowanceRow.id == sums.c.allowance_id)
        .values(reserved=AllowanceRow.reserved - sums.c.amount)
        .execution_options(synchronize_session=False)
    )


async def settle(session: AsyncSession, charges: Iterable[Mapping[str, Any]]) -> None:
    """Count rows of `charges` that this transaction has written before.

    Their foreign key holds the project's row, so that no allowance was opened in between.
    """
    sums: dict[Scope, Decimal] = {}
    for row in charges:
        scope = Scope(row["project"], row["qpu"])
        sums[scope] = sums.get(scope, Decimal(0)) + row["seconds"]
    for scope in sorted(sums, key=str):
        book = lock(scope.project).cte("book")
        await session.execute(
            update(AllowanceRow)
            .where(AllowanceRow.project == book.c.name, *under(scope))
            .values(charged=AllowanceRow.charged + sums[scope])
            .execution_options(synchronize_session=False)
        )


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
