"""What the database itself refuses, whoever asks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from qpuflow.domain.errors import Unavailable
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.schema import BookingRow, Qpu
from tests.ledger import databases
from tests.ledger.entities import QPU, complete, register, rows, scalar, submit

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


async def book(ledger: Ledger, start: float, end: float, **other: Any) -> None:
    values = {
        "id": uuid4(),
        "qpu": QPU,
        "project": "alice",
        "starts_at": NOON + timedelta(hours=start),
        "ends_at": NOON + timedelta(hours=end),
        "created_by": "alice",
    }
    async with ledger.begin() as session:
        await session.execute(insert(BookingRow).values(values | other))


async def test_bookings_that_overlap_are_refused(ledger: Ledger) -> None:
    await submit(ledger)
    await book(ledger, 0, 2)
    for start, end in ((1, 3), (-1, 1), (0.5, 1), (-1, 3), (0, 2)):
        with pytest.raises(IntegrityError, match="one_at_a_time"):
            await book(ledger, start, end)


async def test_a_booking_may_begin_when_another_ends(ledger: Ledger) -> None:
    await submit(ledger)
    await book(ledger, 0, 2)
    await book(ledger, 2, 3)
    await book(ledger, -1, 0)


async def test_of_many_who_book_the_same_hour_one_gets_it(ledger: Ledger) -> None:
    await submit(ledger)
    booked = await asyncio.gather(
        *(book(ledger, 0, 1 + index / 10) for index in range(10)), return_exceptions=True
    )
    assert booked.count(None) == 1
    assert await scalar(ledger, "SELECT count(*) FROM bookings") == 1


async def test_another_qpu_or_a_cancelled_booking_is_not_in_the_way(ledger: Ledger) -> None:
    await submit(ledger)
    await register(ledger, "other")
    await book(ledger, 0, 2, state="cancelled")
    await book(ledger, 0, 2)
    await book(ledger, 0, 2, qpu="other")


async def test_a_vendors_calendar_may_overlap_anything(ledger: Ledger) -> None:
    await submit(ledger)
    await book(ledger, 0, 2)
    for _ in range(2):
        await book(ledger, 0, 2, source="vendor", source_id="1")


async def test_maintenance_needs_no_project_and_a_booking_does(ledger: Ledger) -> None:
    await submit(ledger)
    await book(ledger, 0, 1, kind="maintenance", project=None)
    with pytest.raises(IntegrityError, match="owner"):
        await book(ledger, 1, 2, project=None)


async def test_a_booking_goes_forwards(ledger: Ledger) -> None:
    await submit(ledger)
    with pytest.raises(IntegrityError, match="forwards"):
        await book(ledger, 2, 2, source="vendor")


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE jobs SET state = 'completd'", "ck_jobs_state"),
        ("UPDATE jobs SET state = 'failed'", "ck_jobs_finished"),
        ("UPDATE jobs SET finished_at = now()", "ck_jobs_finished"),
        ("UPDATE jobs SET attempt = 0", "ck_jobs_numbers"),
        ("UPDATE qpus SET lanes = 0", "ck_qpus_lanes"),
        ("UPDATE payloads SET url = 'file:///x'", "in_one_place"),
        ("UPDATE payloads SET body = NULL", "in_one_place"),
        ("UPDATE payloads SET body = 'x'", "ck_payloads_size"),
        ("DELETE FROM payloads", "fk_programs_source_hash"),
        (
            "INSERT INTO carriers (id, batch_id, number, state) "
            "SELECT gen_random_uuid(), batch_id, 2, 'live' FROM carriers",
            "uq_carriers_current",
        ),
    ],
)
async def test_nonsense_is_refused(ledger: Ledger, statement: str, constraint: str) -> None:
    await submit(ledger)
    with pytest.raises(IntegrityError, match=constraint):
        await rows(ledger, statement)


async def test_a_charge_stands_once_for_each_job(ledger: Ledger) -> None:
    await complete(ledger)
    with pytest.raises(IntegrityError, match="pk_charges"):
        await rows(ledger, "INSERT INTO charges SELECT * FROM charges")


async def test_a_connection_that_breaks_is_unavailable_and_the_next_works(
    ledger: Ledger, ledger_url: str
) -> None:

    async def cut_off() -> None:
        async with ledger.begin() as session:
            pid = await session.scalar(select(func.pg_backend_pid()))
            await databases.execute(ledger_url, f"SELECT pg_terminate_backend({pid})")
            await session.scalar(select(func.pg_backend_pid()))

    with pytest.raises(Unavailable, match="does not answer"):
        await cut_off()
    assert (await submit(ledger)).is_new


async def test_a_database_that_takes_no_connections_is_unavailable(
    ledger: Ledger, ledger_url: str, postgres_url: str
) -> None:
    await ledger.engine.dispose()
    database = ledger_url.rpartition("?")[0].rpartition("/")[2]
    await databases.execute(postgres_url, f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
    with pytest.raises(Unavailable):
        await submit(ledger)
    await databases.execute(postgres_url, f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')
    assert (await submit(ledger)).is_new


async def test_a_deadlock_is_to_be_repeated(ledger: Ledger) -> None:
    await submit(ledger)
    await register(ledger, "other")
    met = asyncio.Barrier(2)

    async def lock(first: str, second: str) -> None:
        async with ledger.begin() as session:
            for name in (first, second):
                await session.execute(update(Qpu).where(Qpu.name == name).values(lanes=1))
                if name == first:
                    await met.wait()

    ends = await asyncio.gather(lock(QPU, "other"), lock("other", QPU), return_exceptions=True)
    assert sum(end is None for end in ends) == 1
    assert sum(isinstance(end, Unavailable) for end in ends) == 1
