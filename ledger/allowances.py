"""A project's allowances: opened, entered into, and the rows that limit a job."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, case, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.cost import CREDITS
from qpuflow.domain.errors import NotFound
from qpuflow.domain.principal import Principal, service
from qpuflow.domain.quota import QPU_SECONDS, Allowance, Scope
from qpuflow.ledger.schema import (
    AllowanceRow,
    Charge,
    FirstAllowanceRow,
    GrantRow,
    Project,
    Qpu,
)


def under(scope: Scope) -> tuple[ColumnElement[bool], ...]:
    """Which of a project's allowances a job of this scope falls under."""
    return (
        or_(AllowanceRow.qpu.is_(None), AllowanceRow.qpu == scope.qpu),
        AllowanceRow.unit == scope.unit,
    )


def limits(scope: Scope) -> Select[tuple[AllowanceRow]]:
    """All that a job falls under."""
    own = AllowanceRow.project == scope.project
    return select(AllowanceRow).where(own, *under(scope)).order_by(AllowanceRow.id)


def lock(project: str) -> Select[tuple[str]]:
    """Hold the account book: the project's row, if it has allowances.

    One lock, of a row that does not change. Locking the allowances themselves and changing them
    in the same statement ends in deadlocks when the snapshot is older than the lock.
    """
    has_some = select(AllowanceRow.id).where(AllowanceRow.project == Project.name).exists()
    rows = select(Project.name).where(Project.name == project, has_some)
    return rows.with_for_update(key_share=True, of=Project)


def value_of(row: AllowanceRow) -> Allowance:
    scope = Scope(row.project, row.qpu, row.unit)
    return Allowance(scope, row.granted, row.charged, row.reserved)


async def enter(
    session: AsyncSession,
    principal: Principal,
    scope: Scope,
    amount: Decimal,
    note: str | None,
    request_id: UUID | None = None,
) -> Allowance:
    """A line in the book; below zero it takes back. The first one opens the allowance."""
    allowance_id = await _open(session, scope)
    if amount:
        await session.execute(
            insert(GrantRow).values(
                allowance_id=allowance_id,
                amount=amount,
                granted_by=principal.user,
                via=principal.via,
                note=note,
                request_id=request_id,
            )
        )
    row = await session.scalar(
        update(AllowanceRow)
        .where(AllowanceRow.id == allowance_id)
        .values(granted=AllowanceRow.granted + amount)
        .returning(AllowanceRow)
        .execution_options(populate_existing=True)
    )
    assert row is not None
    return value_of(row)


async def enter_first(session: AsyncSession, project: str) -> None:
    """What every new project gets, for one that this transaction has made."""
    rows = await session.scalars(select(FirstAllowanceRow))
    for first in rows.all():
        scope = Scope(project, unit=first.unit)
        await enter(session, service("qpuflow"), scope, first.amount, "A new project's")


async def require(session: AsyncSession, scope: Scope) -> None:
    """Raises `NotFound` unless the project has this very allowance. It never loses one."""
    if await _find(session, scope) is None:
        where = f"on {scope.qpu}" if scope.qpu else "on all QPUs together"
        raise NotFound(
            f"Project {scope.project!r} was never granted {scope.unit} {where}",
            remedy="See `qpuflow quota` for what limits it; a first grant does.",
        )


async def _find(session: AsyncSession, scope: Scope) -> int | None:
    return await session.scalar(
        select(AllowanceRow.id).where(
            AllowanceRow.project == scope.project,
            AllowanceRow.qpu.is_not_distinct_from(scope.qpu),
            AllowanceRow.unit == scope.unit,
        )
    )


async def _open(session: AsyncSession, scope: Scope) -> int:
    await _lock_project(session, scope)
    if (found := await _find(session, scope)) is not None:
        return found
    opened = await session.scalar(
        insert(AllowanceRow)
        .values(
            project=scope.project,
            qpu=scope.qpu,
            unit=scope.unit,
            charged_before=_charged(scope).scalar_subquery(),
        )
        .returning(AllowanceRow.id)
    )
    assert opened is not None
    return opened


async def _lock_project(session: AsyncSession, scope: Scope) -> None:
    """As `lock`, and against those who write a job or a charge: their foreign keys hold the row.

    So every charge there is can be seen from here, and the next one will see the allowance.
    """
    project = select(Project.name).where(Project.name == scope.project).with_for_update()
    if await session.scalar(project) is None:
        raise NotFound(
            f"There is no project {scope.project!r}",
            remedy="It is made with its first member: `qpuflow members PROJECT --add USER`.",
        )
    if scope.qpu is None:
        return
    if await session.scalar(select(Qpu.name).where(Qpu.name == scope.qpu)) is None:
        raise NotFound(f"There is no QPU {scope.qpu!r}", remedy="See `qpuflow qpus`.")


def charged_in(unit: str) -> ColumnElement[Any]:
    """What a charge comes to in the unit; NULL where it was made in another."""
    if unit == QPU_SECONDS:
        return Charge.seconds.expression
    if unit == CREDITS:
        return Charge.credits.expression
    return case((Charge.unit == unit, Charge.cost))


def _charged(scope: Scope) -> Select[tuple[Decimal]]:
    query = select(func.coalesce(func.sum(charged_in(scope.unit)), 0)).where(
        Charge.project == scope.project
    )
    return query if scope.qpu is None else query.where(Charge.qpu == scope.qpu)
