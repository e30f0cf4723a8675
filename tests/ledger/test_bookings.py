"""Bookings in the ledger: who may do what, when, and who was first."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from qpuflow.client.booking import Bookings
from qpuflow.domain.booking import Booking, BookingKind, BookingRules, BookingState, Period
from qpuflow.domain.errors import AccessDenied, Conflict, InputError, NotFound
from qpuflow.domain.principal import Principal, Role, service
from qpuflow.domain.settings import Settings
from qpuflow.ledger import accounts, bookings
from qpuflow.ledger.bookings import Wish
from qpuflow.ledger.database import Ledger
from tests.ledger.entities import ALICE, BOB, QPU, register, rows, scalar

OPERATOR = Principal("olga", "olga", frozenset({Role.USER, Role.OPERATOR}))
RULES = BookingRules(hours_per_week=10)
MONDAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(
    days=14 - datetime.now(UTC).weekday()
)
"""Far enough ahead that no test meets it."""


def period(start: float, end: float) -> Period:
    return Period(MONDAY + timedelta(hours=start), MONDAY + timedelta(hours=end))


def soon(start: float, end: float) -> Period:
    now = datetime.now(UTC)
    return Period(now + timedelta(seconds=start), now + timedelta(seconds=end))


async def book(
    ledger: Ledger, who: Principal, wanted: Period, rules: BookingRules = RULES, qpu: str = QPU
) -> Booking:
    async with ledger.begin() as session:
        return await bookings.create(session, who, rules, Wish(qpu, wanted))


async def change(ledger: Ledger, who: Principal, booking_id: UUID, wanted: Period) -> Booking:
    async with ledger.begin() as session:
        return await bookings.change(session, who, RULES, booking_id, wanted)


async def end(ledger: Ledger, who: Principal, booking_id: UUID, how: Any) -> Booking:
    async with ledger.begin() as session:
        return await how(session, who, booking_id)


async def upcoming(ledger: Ledger, qpu: str | None = None) -> list[Booking]:
    async with ledger.begin() as session:
        return await bookings.upcoming(session, qpu)


async def test_a_booking_is_listed_until_it_is_cancelled(ledger: Ledger) -> None:
    made = await book(ledger, ALICE, period(1, 2))
    assert await upcoming(ledger) == [made]
    assert await upcoming(ledger, "other") == []
    assert (await end(ledger, ALICE, made.id, bookings.cancel)).state is BookingState.CANCELLED
    assert await upcoming(ledger) == []
    await book(ledger, BOB, period(1, 2))


async def test_a_conflict_names_the_other_booking(ledger: Ledger) -> None:
    made = await book(ledger, ALICE, period(1, 2))
    with pytest.raises(Conflict, match=f"taken: the booking {str(made.id)[:8]} of alice"):
        await book(ledger, BOB, period(1.5, 3))
    other = await book(ledger, BOB, period(2, 3))
    with pytest.raises(Conflict, match="of alice"):
        await change(ledger, BOB, other.id, period(1.5, 2.5))
    assert await upcoming(ledger) == [made, other]


async def test_of_many_at_once_one_gets_the_hour_and_the_others_hear_whose_it_is(
    ledger: Ledger,
) -> None:
    people = [Principal(f"user-{index}", f"user-{index}") for index in range(8)]
    answers = await asyncio.gather(
        *(book(ledger, who, period(1, 2)) for who in people), return_exceptions=True
    )
    assert sum(isinstance(one, Booking) for one in answers) == 1
    assert sum(isinstance(one, Conflict) and "taken" in str(one) for one in answers) == 7


async def test_the_hours_of_a_week_are_exact_however_many_book_at_once(ledger: Ledger) -> None:
    await book(ledger, ALICE, period(7 * 24, 7 * 24 + 2))  # in another week
    answers = await asyncio.gather(
        *(book(ledger, ALICE, period(hour, hour + 2)) for hour in range(0, 20, 2)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Booking) for one in answers) == 5
    assert sum(isinstance(one, InputError) and "12 hours" in str(one) for one in answers) == 5
    await book(ledger, BOB, period(30, 32))
    await book(ledger, OPERATOR, period(40, 60))


async def test_what_it_already_has_does_not_count_against_a_change(ledger: Ledger) -> None:
    made = await book(ledger, ALICE, period(0, 10))
    moved = await change(ledger, ALICE, made.id, period(1, 11))
    assert (moved.id, moved.period) == (made.id, period(1, 11))
    with pytest.raises(InputError, match="11 hours"):
        await change(ledger, ALICE, made.id, period(0, 11))


async def test_only_a_member_or_an_operator_changes_a_booking(ledger: Ledger) -> None:
    async with ledger.begin() as session:
        await accounts.add_member(session, service("test"), "lab", "alice")
        await accounts.add_member(session, service("test"), "lab", "carol")
    made = await book(ledger, Principal("alice", "lab"), period(1, 2))
    for how in (bookings.cancel, bookings.release):
        with pytest.raises(AccessDenied, match="may not change"):
            await end(ledger, BOB, made.id, how)
    with pytest.raises(AccessDenied):
        await change(ledger, BOB, made.id, period(3, 4))
    with pytest.raises(AccessDenied, match="not a member"):
        await book(ledger, Principal("bob", "lab"), period(3, 4))
    await change(ledger, Principal("carol", "carol"), made.id, period(3, 4))
    await change(ledger, OPERATOR, made.id, period(5, 6))
    await end(ledger, Principal("carol", "carol"), made.id, bookings.cancel)


async def test_a_started_booking_is_released_and_the_rest_is_free_at_once(ledger: Ledger) -> None:
    made = await book(ledger, ALICE, soon(-1, 3600))
    with pytest.raises(Conflict, match="has started"):
        await end(ledger, ALICE, made.id, bookings.cancel)
    with pytest.raises(Conflict, match="has started"):
        await change(ledger, ALICE, made.id, soon(10, 3600))
    released = await end(ledger, ALICE, made.id, bookings.release)
    assert released.state is BookingState.RELEASED
    assert released.period.length < timedelta(seconds=60)
    await book(ledger, BOB, soon(0, 3600))
    with pytest.raises(Conflict, match="released already"):
        await end(ledger, ALICE, made.id, bookings.release)


async def test_what_has_not_started_is_cancelled_not_released(ledger: Ledger) -> None:
    made = await book(ledger, ALICE, period(1, 2))
    with pytest.raises(Conflict, match="has not started"):
        await end(ledger, ALICE, made.id, bookings.release)


async def test_maintenance_is_for_operators_and_in_everybodys_way(ledger: Ledger) -> None:
    wish = Wish(QPU, period(1, 30), "helium")
    async with ledger.begin() as session:
        made = await bookings.maintain(session, OPERATOR, wish)
    assert (made.kind, made.project, made.note) == (BookingKind.MAINTENANCE, None, "helium")
    with pytest.raises(Conflict, match="for maintenance"):
        await book(ledger, ALICE, period(2, 3))
    with pytest.raises(AccessDenied):
        await end(ledger, ALICE, made.id, bookings.cancel)
    with pytest.raises(AccessDenied):
        async with ledger.begin() as session:
            await bookings.maintain(session, ALICE, wish)


async def test_an_unknown_qpu_and_an_unknown_booking_are_not_found(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="no QPU 'nowhere'"):
        await book(ledger, ALICE, period(1, 2), qpu="nowhere")
    with pytest.raises(NotFound):
        await end(ledger, ALICE, UUID(int=1), bookings.cancel)
    async with ledger.begin() as session:
        for text in ("", "feed", "%"):
            with pytest.raises(NotFound):
                await bookings.resolve(session, text)


def client(ledger: Ledger, who: Principal, tmp_path: Path) -> Bookings:
    return Bookings(ledger, who, Settings(home=tmp_path, time_zone="Europe/Berlin"))


async def test_a_calendar_is_imported_once(ledger: Ledger, tmp_path: Path) -> None:
    alice = client(ledger, ALICE, tmp_path)
    await alice.book(QPU, MONDAY, timedelta(hours=1))
    await alice.book(QPU, MONDAY + timedelta(hours=2), "+1h")
    content = await alice.export_calendar(QPU)
    assert await alice.import_calendar(QPU, content) == []
    await register(ledger, "twin")
    assert len(await alice.import_calendar("twin", content)) == 2
    assert await alice.import_calendar("twin", content) == []
    assert len(await upcoming(ledger)) == 4


async def test_a_calendar_that_meets_a_conflict_books_nothing(
    ledger: Ledger, tmp_path: Path
) -> None:
    alice = client(ledger, ALICE, tmp_path)
    for hour in (0, 2):
        await alice.book(QPU, MONDAY + timedelta(hours=hour), "+1h")
    content = await alice.export_calendar(QPU)
    await register(ledger, "twin")
    await book(ledger, BOB, period(2.5, 4), qpu="twin")
    with pytest.raises(Conflict, match="of bob"):
        await alice.import_calendar("twin", content)
    assert len(await upcoming(ledger, "twin")) == 1


async def test_a_vendors_calendar_is_replaced_as_a_whole_and_changed_by_nobody(
    ledger: Ledger, tmp_path: Path
) -> None:
    olga = client(ledger, OPERATOR, tmp_path)
    mine = await book(ledger, ALICE, period(0, 1))
    content = await olga.export_calendar(QPU)
    for _ in range(2):
        assert await olga.replace_calendar(QPU, "vendor", content) == 1
    (row,) = [one for one in await upcoming(ledger) if one.id != mine.id]
    assert (row.source, row.period) == ("vendor", mine.period)
    for how in (bookings.cancel, bookings.release):
        with pytest.raises(Conflict, match="vendor's calendar"):
            await end(ledger, OPERATOR, row.id, how)
    with pytest.raises(AccessDenied):
        await client(ledger, ALICE, tmp_path).replace_calendar(QPU, "vendor", content)
    assert await scalar(ledger, "SELECT count(*) FROM bookings") == 2
    assert await rows(ledger, "SELECT source_id FROM bookings WHERE source = 'vendor'") == [
        (f"{mine.id}@qpuflow",)
    ]
