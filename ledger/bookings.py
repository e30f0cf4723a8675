"""Booking time on a QPU: the one place that writes bookings.

Times are the clock's. Whoever writes holds the QPU's row, so that rules and balances are exact.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Text, cast, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain import booking as rule
from qpuflow.domain.booking import (
    OURS,
    Booking,
    BookingKind,
    BookingRules,
    BookingState,
    Period,
)
from qpuflow.domain.errors import AccessDenied, Conflict, NotFound
from qpuflow.domain.principal import Principal
from qpuflow.ledger import accounts, qpus
from qpuflow.ledger.schema import BookingRow, Member, Qpu


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to book. `source_id` is an imported event's own name."""

    qpu: str
    period: Period
    note: str | None = None
    source_id: str | None = None


async def create(
    session: AsyncSession, principal: Principal, rules: BookingRules, wish: Wish
) -> Booking:
    """Book time for the principal's project. Raises `InputError`, or `Conflict` naming whose."""
    await accounts.require_member(session, principal)
    now = await _lock(session, wish.qpu)
    principal.require_use(wish.qpu, (await qpus.find(session, wish.qpu)).projects)
    await _check(session, principal, rules, wish, now)
    return await _insert(session, principal, wish, BookingKind.PROJECT, principal.project)


async def maintain(session: AsyncSession, principal: Principal, wish: Wish) -> Booking:
    """A maintenance window: a booking that nobody uses."""
    principal.require_operator("take a QPU for maintenance")
    await accounts.require_member(session, principal)
    rule.check_time(wish.period, await _lock(session, wish.qpu))
    return await _insert(session, principal, wish, BookingKind.MAINTENANCE, None)


async def change(
    session: AsyncSession,
    principal: Principal,
    rules: BookingRules,
    booking_id: UUID,
    period: Period,
) -> Booking:
    """Move a booking that has not started."""
    row, now = await _own(session, principal, booking_id)
    rule.check_not_started(_value(row), now)
    if row.project is None:
        rule.check_time(period, now)
    else:
        wish = Wish(row.qpu, period)
        await _check(session, principal, rules, wish, now, project=row.project, but=row.id)
    async with _exclusively(session, row.qpu, period, but=row.id):
        row.starts_at, row.ends_at = period.starts_at, period.ends_at
        await session.flush()
    return _value(row)


async def release(session: AsyncSession, principal: Principal, booking_id: UUID) -> Booking:
    """End a booking that has started: from now on the time is everybody's."""
    row, now = await _own(session, principal, booking_id)
    rule.check_is_running(_value(row), now)
    row.state, row.ends_at = BookingState.RELEASED.value, now
    await session.flush()
    return _value(row)


async def cancel(session: AsyncSession, principal: Principal, booking_id: UUID) -> Booking:
    """Give up a booking that has not started."""
    row, now = await _own(session, principal, booking_id)
    rule.check_not_started(_value(row), now)
    row.state = BookingState.CANCELLED.value
    await session.flush()
    return _value(row)


async def upcoming(
    session: AsyncSession, qpu: str | None = None, *, until: datetime | None = None
) -> list[Booking]:
    """What is booked from now on, also by vendors, oldest first."""
    query = select(BookingRow).where(
        BookingRow.state == BookingState.ACTIVE.value, BookingRow.ends_at > func.clock_timestamp()
    )
    if qpu is not None:
        query = query.where(BookingRow.qpu == qpu)
    if until is not None:
        query = query.where(BookingRow.starts_at < until)
    rows = await session.scalars(query.order_by(BookingRow.starts_at))
    return [_value(row) for row in rows]


async def resolve(session: AsyncSession, text: str) -> UUID:
    """A booking's id from its first characters."""
    begins = cast(BookingRow.id, Text).startswith(text.lower(), autoescape=True)
    found = list(await session.scalars(select(BookingRow.id).where(begins).limit(2)))
    if not text or not found:
        raise NotFound(f"There is no booking {text!r}", remedy="See `qpuflow bookings`.")
    if len(found) > 1:
        raise NotFound(f"Several bookings begin with {text!r}", remedy="Give more characters.")
    return found[0]


async def imported(session: AsyncSession, qpu: str, source_id: str) -> Booking | None:
    """The booking in force that was made of this event before."""
    row = await session.scalar(
        select(BookingRow).where(
            BookingRow.qpu == qpu,
            BookingRow.source == OURS,
            BookingRow.state == BookingState.ACTIVE.value,
            (BookingRow.source_id == source_id) | (_uid() == source_id),
        )
    )
    return None if row is None else _value(row)


def _uid() -> ColumnElement[str]:
    """Of an event that we exported ourselves."""
    return cast(BookingRow.id, Text) + "@qpuflow"


async def replace_calendar(
    session: AsyncSession, principal: Principal, source: str, wishes: list[Wish], qpu: str
) -> None:
    """A vendor's calendar of a QPU as it is now. Nobody can change these but by the next one."""
    principal.require_operator("replace a vendor's calendar")
    if source == OURS:
        raise Conflict(f"{OURS!r} is what our own bookings are from")
    await accounts.require_member(session, principal)
    await _lock(session, qpu)
    before = select(BookingRow).where(BookingRow.qpu == qpu, BookingRow.source == source)
    for row in await session.scalars(before):
        await session.delete(row)
    await session.flush()
    for wish in wishes:
        await _insert(session, principal, wish, BookingKind.MAINTENANCE, None, source)


async def _lock(session: AsyncSession, qpu: str) -> datetime:
    """The QPU's row for the rest of the transaction, and the time at which we had it."""
    locked = select(Qpu.name).where(Qpu.name == qpu).with_for_update(key_share=True)
    if await session.scalar(locked) is None:
        raise NotFound(f"There is no QPU {qpu!r}", remedy="See `qpuflow qpus`.")
    now = await session.scalar(select(func.clock_timestamp()))
    assert now is not None
    return now


async def _own(
    session: AsyncSession, principal: Principal, booking_id: UUID
) -> tuple[BookingRow, datetime]:
    """A booking that the principal may change, locked, as it is now."""
    row = await session.get(BookingRow, booking_id)
    if row is None:
        raise NotFound(f"There is no booking {booking_id}", remedy="See `qpuflow bookings`.")
    now = await _lock(session, row.qpu)
    await session.refresh(row)
    if not (principal.is_operator or await _is_member(session, principal, row.project)):
        raise AccessDenied(
            f"{principal.user!r} may not change the {_value(row)}",
            remedy="Ask a member of its project, or an operator.",
        )
    return row, now


async def _is_member(session: AsyncSession, principal: Principal, project: str | None) -> bool:
    query = select(Member.user).where(Member.project == project, Member.user == principal.user)
    return await session.scalar(query) is not None


async def _check(
    session: AsyncSession,
    principal: Principal,
    rules: BookingRules,
    wish: Wish,
    now: datetime,
    *,
    project: str | None = None,
    but: UUID | None = None,
) -> None:
    rule.check_time(wish.period, now)
    if principal.is_operator:
        return
    weeks = rule.weeks(wish.period)
    others = await session.execute(
        select(BookingRow.starts_at, BookingRow.ends_at).where(
            BookingRow.qpu == wish.qpu,
            BookingRow.project == (project or principal.project),
            BookingRow.source == OURS,
            BookingRow.state != BookingState.CANCELLED.value,
            BookingRow.ends_at > weeks[0].starts_at,
            BookingRow.starts_at < weeks[-1].ends_at,
            BookingRow.id.is_distinct_from(but),
        )
    )
    rule.check_rules(rules, wish.period, [Period(*row) for row in others.tuples()], now)


async def _insert(
    session: AsyncSession,
    principal: Principal,
    wish: Wish,
    kind: BookingKind,
    project: str | None,
    source: str = OURS,
) -> Booking:
    booking_id = uuid4()
    async with _exclusively(session, wish.qpu, wish.period):
        await session.execute(
            insert(BookingRow).values(
                id=booking_id,
                qpu=wish.qpu,
                project=project,
                kind=kind.value,
                source=source,
                source_id=wish.source_id,
                starts_at=wish.period.starts_at,
                ends_at=wish.period.ends_at,
                created_by=principal.user,
                note=wish.note,
            )
        )
    return _value(await session.get_one(BookingRow, booking_id))


@asynccontextmanager
async def _exclusively(
    session: AsyncSession, qpu: str, period: Period, but: UUID | None = None
) -> AsyncGenerator[None]:
    """The database refuses an overlap; this says with what."""
    try:
        async with session.begin_nested():
            yield
    except IntegrityError as error:
        if "ex_bookings_one_at_a_time" not in str(error.orig):
            raise
        other = await session.scalar(
            select(BookingRow)
            .where(
                BookingRow.qpu == qpu,
                BookingRow.source == OURS,
                BookingRow.state == BookingState.ACTIVE.value,
                BookingRow.starts_at < period.ends_at,
                BookingRow.ends_at > period.starts_at,
                BookingRow.id.is_distinct_from(but),
            )
            .order_by(BookingRow.starts_at)
            .limit(1)
        )
        taken = f"the {_value(other)}" if other else "another booking"
        raise Conflict(
            f"{qpu} is taken: {taken}", remedy="See `qpuflow bookings`, and choose another time."
        ) from error


def _value(row: BookingRow) -> Booking:
    return Booking(
        id=row.id,
        qpu=row.qpu,
        project=row.project,
        kind=BookingKind(row.kind),
        state=BookingState(row.state),
        source=row.source,
        source_id=row.source_id,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        created_by=row.created_by,
        note=row.note,
    )
