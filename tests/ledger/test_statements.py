"""Statements of account: period by period, each adds up and begins where the last one ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import text

from qpuflow.domain.errors import AccessDenied, InputError
from qpuflow.domain.principal import Principal
from qpuflow.domain.statement import AllowanceLine, Statement
from qpuflow.ledger import statements
from qpuflow.ledger.database import Ledger
from tests.ledger.account_book import LAB, LAB_ON_RACK, OPERATOR, grant, open_lab, revoke
from tests.ledger.entities import (
    BOB,
    begin,
    finished,
    hand_over,
    register,
    store,
    submit,
    take,
)

ALICE = Principal("alice", "lab")
START = datetime(2026, 1, 1, tzinfo=UTC)
MONTHS = [START + timedelta(days=30 * month) for month in range(12)]


async def used(ledger: Ledger, seconds: float, qpu: str = "rack", who: Principal = ALICE) -> None:
    run = uuid4()
    accepted = await submit(ledger, who, qpu=qpu, run=run)
    await begin(ledger, accepted.batch_id, run)
    (job,) = await take(ledger, accepted.batch_id)
    await hand_over(ledger, [job])
    await store(ledger, [await finished(ledger, job, seconds)])


async def it_was(ledger: Ledger, at: datetime) -> None:
    """What happened just now happened then. The book does not let its entries be changed."""
    async with ledger.begin() as session:
        await session.execute(text("SET LOCAL session_replication_role = replica"))
        for table, column in (
            ("grants", "created_at"),
            ("charges", "created_at"),
            ("allowances", "opened_at"),
        ):
            await session.execute(
                text(f"UPDATE {table} SET {column} = :at WHERE {column} > '2026-11-01'"), {"at": at}
            )


async def of(ledger: Ledger, month: int, months: int = 1) -> Statement:
    period = MONTHS[month], MONTHS[month + months]
    return await statements.make(ledger, ALICE, "lab", *period)


def sums(line: AllowanceLine) -> tuple[Decimal, ...]:
    return line.opening, line.granted, line.charged, line.closing, line.free


async def test_months_follow_each_other_without_a_gap(ledger: Ledger) -> None:
    await register(ledger, "other")
    await open_lab(ledger, "alice", "bob")
    await used(ledger, 7.0)
    await it_was(ledger, MONTHS[0] + timedelta(days=1))
    await used(ledger, 1.0)
    await it_was(ledger, MONTHS[1] + timedelta(days=1))
    await grant(ledger, LAB, "100")
    await grant(ledger, LAB_ON_RACK, "50")
    await used(ledger, 0.1)
    await used(ledger, 0.2, "other", Principal("bob", "lab"))
    await it_was(ledger, MONTHS[1] + timedelta(days=2))
    await revoke(ledger, LAB, "10")
    await used(ledger, 30.000001)
    await it_was(ledger, MONTHS[2])

    first, second, third = [(await of(ledger, month)) for month in range(3)]
    assert [sums(line) for line in first.allowances] == [(0, 0, 0, 0, 7)] * 2
    assert sums(second.allowances[0]) == (0, 100, Decimal("0.3"), Decimal("99.7"), 1)
    assert sums(second.allowances[1]) == (0, 50, Decimal("0.1"), Decimal("49.9"), 1)
    assert sums(third.allowances[0]) == (
        Decimal("99.7"),
        -10,
        Decimal("30.000001"),
        Decimal("59.699999"),
        0,
    )
    assert [(line.user, line.qpu, line.jobs, line.seconds) for line in second.usage] == [
        ("alice", "rack", 2, Decimal("1.1")),
        ("bob", "other", 1, Decimal("0.2")),
    ]
    whole = await of(ledger, 0, 3)
    assert whole.seconds == first.seconds + second.seconds + third.seconds
    assert whole.allowances[0].closing == third.allowances[0].closing
    assert [one.granted_by for one in whole.allowances[0].grants] == ["olga", "olga"]


async def test_the_end_of_a_period_belongs_to_the_next_one(ledger: Ledger) -> None:
    await open_lab(ledger, "alice")
    await used(ledger, 1.0)
    await it_was(ledger, MONTHS[1])
    assert [(await of(ledger, month)).seconds for month in (0, 1)] == [0, 1]


async def test_a_project_without_an_allowance_has_a_statement_of_its_use(ledger: Ledger) -> None:
    await open_lab(ledger, "alice")
    await used(ledger, 1.5)
    made = await statements.make(ledger, ALICE, "lab", START)
    assert (made.allowances, made.seconds) == ([], Decimal("1.5"))


async def test_only_members_and_operators_have_it_made(ledger: Ledger) -> None:
    await open_lab(ledger, "alice")
    assert await statements.make(ledger, OPERATOR, "lab", START)
    with pytest.raises(AccessDenied, match="'bob' is not a member"):
        await statements.make(ledger, BOB, "lab", START)


async def test_a_period_that_ends_before_it_starts_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InputError, match="nothing in it"):
        await statements.make(ledger, ALICE, "alice", MONTHS[1], MONTHS[0])
