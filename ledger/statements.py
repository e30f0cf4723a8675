"""Statements of account, made from the entries of the book and not from the sums kept beside it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Function, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import QPU_SECONDS, Grant, Scope
from qpuflow.domain.statement import AllowanceLine, CostLine, Statement, UsageLine, check_period
from qpuflow.ledger import accounts
from qpuflow.ledger.allowances import charged_in
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.schema import AllowanceRow, Charge, GrantRow, JobRow, ReservationRow


async def make(
    ledger: Ledger,
    principal: Principal,
    project: str,
    starts_at: datetime,
    ends_at: datetime | None = None,
) -> Statement:
    """Of what was settled in `[starts_at, ends_at)`, until now if it has no end.

    One snapshot: it adds up whatever happens meanwhile.
    """
    async with ledger.begin() as session:
        await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        await accounts.require_view(session, principal, project)
        now: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
        until = now if ends_at is None else ends_at
        check_period(starts_at, until)
        rows = await session.scalars(
            select(AllowanceRow)
            .where(AllowanceRow.project == project)
            .order_by(AllowanceRow.qpu.nulls_first(), AllowanceRow.unit)
        )
        return Statement(
            project=project,
            starts_at=starts_at,
            ends_at=until,
            made_at=now,
            allowances=[await _line(session, row, starts_at, until) for row in rows.all()],
            usage=await _usage(session, project, starts_at, until),
            costs=await _costs(session, project, starts_at, until),
        )


async def _line(
    session: AsyncSession, row: AllowanceRow, starts_at: datetime, ends_at: datetime
) -> AllowanceLine:
    scope = Scope(row.project, row.qpu, row.unit)
    used_before, used = await _used(session, scope, starts_at, ends_at)
    given_before, grants = await _grants(session, row.id, starts_at, ends_at)
    # What was used before the allowance was there is not charged to it.
    free = min(max(row.charged_before - used_before, Decimal(0)), used)
    opening = given_before - max(used_before - row.charged_before, Decimal(0))
    granted = sum((grant.amount for grant in grants), Decimal(0))
    return AllowanceLine(
        scope=scope,
        opening=opening,
        granted=granted,
        charged=used - free,
        closing=opening + granted - (used - free),
        reserved=await _reserved(session, row.id),
        free=free,
        grants=grants,
    )


async def _used(
    session: AsyncSession, scope: Scope, starts_at: datetime, ends_at: datetime
) -> tuple[Decimal, Decimal]:
    """Before the period and in it, in the scope's unit."""
    query = select(
        _sum(charged_in(scope.unit), Charge.created_at < starts_at),
        _sum(charged_in(scope.unit), Charge.created_at >= starts_at),
    ).where(Charge.project == scope.project, Charge.created_at < ends_at)
    if scope.qpu is not None:
        query = query.where(Charge.qpu == scope.qpu)
    before, within = (await session.execute(query)).one()
    return before, within


async def _grants(
    session: AsyncSession, allowance_id: int, starts_at: datetime, ends_at: datetime
) -> tuple[Decimal, list[Grant]]:
    """What was granted before the period, and the grants in it."""
    own = GrantRow.allowance_id == allowance_id
    before = select(func.coalesce(func.sum(GrantRow.amount), 0))
    given = await session.scalar(before.where(own, GrantRow.created_at < starts_at))
    rows = await session.scalars(
        select(GrantRow)
        .where(own, GrantRow.created_at >= starts_at, GrantRow.created_at < ends_at)
        .order_by(GrantRow.id)
    )
    grants = [Grant(row.amount, row.granted_by, row.note, row.created_at) for row in rows]
    return given or Decimal(0), grants


async def _reserved(session: AsyncSession, allowance_id: int) -> Decimal:
    own = ReservationRow.allowance_id == allowance_id
    found = await session.scalar(
        select(func.coalesce(func.sum(ReservationRow.amount), 0)).where(own)
    )
    return found or Decimal(0)


async def _usage(
    session: AsyncSession, project: str, starts_at: datetime, ends_at: datetime
) -> list[UsageLine]:
    used = await session.execute(
        select(Charge.user, Charge.qpu, func.count(), func.sum(Charge.seconds))
        .where(
            Charge.project == project,
            Charge.created_at >= starts_at,
            Charge.created_at < ends_at,
        )
        .group_by(Charge.user, Charge.qpu)
    )
    lines = {(user, qpu): (count, seconds) for user, qpu, count, seconds in used.tuples()}
    kept = await _kept(session, project)
    nothing = (0, Decimal(0))
    return [
        UsageLine(*key, *lines.get(key, nothing), kept.get(key, Decimal(0)))
        for key in sorted({*lines, *kept})
    ]


async def _costs(
    session: AsyncSession, project: str, starts_at: datetime, ends_at: datetime
) -> list[CostLine]:
    """Of what has a price: what vendors charged beside what was expected."""
    rows = await session.execute(
        select(
            Charge.user,
            Charge.qpu,
            Charge.unit,
            func.count(),
            func.sum(Charge.cost),
            func.coalesce(func.sum(func.coalesce(Charge.estimated_cost, Charge.cost)), 0),
            func.coalesce(func.sum(Charge.credits), 0),
        )
        .where(
            Charge.project == project,
            Charge.created_at >= starts_at,
            Charge.created_at < ends_at,
            or_(Charge.unit != QPU_SECONDS, Charge.credits > 0),
        )
        .group_by(Charge.user, Charge.qpu, Charge.unit)
        .order_by(Charge.user, Charge.qpu, Charge.unit)
    )
    return [CostLine(*row) for row in rows]


async def _kept(session: AsyncSession, project: str) -> dict[tuple[str, str], Decimal]:
    """What the project's open jobs keep, by user and QPU, each job once."""
    of_job = (
        select(ReservationRow.job_id, func.max(ReservationRow.amount).label("amount"))
        .join(AllowanceRow, AllowanceRow.id == ReservationRow.allowance_id)
        .where(AllowanceRow.unit == QPU_SECONDS)
        .group_by(ReservationRow.job_id)
        .subquery()
    )
    rows = await session.execute(
        select(JobRow.user, JobRow.qpu, func.sum(of_job.c.amount))
        .join(of_job, of_job.c.job_id == JobRow.id)
        .where(JobRow.project == project)
        .group_by(JobRow.user, JobRow.qpu)
    )
    return {(user, qpu): amount for user, qpu, amount in rows.tuples()}


def _sum(amount: ColumnElement[Any], which: ColumnElement[bool]) -> Function[Decimal]:
    return func.coalesce(func.sum(amount).filter(which), 0)
