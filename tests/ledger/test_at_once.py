"""A job for an open batch is one statement; where something is in its way, that is what is said."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import text

from qpuflow.domain.errors import AccessDenied, QpuflowError, Unavailable
from qpuflow.domain.quota import QuotaExceeded
from qpuflow.ledger import at_once
from qpuflow.ledger.batches import CarriedBy
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.payload_store import INLINE_BYTES
from tests.ledger.account_book import LAB, allowance, grant, open_lab, require_in_order
from tests.ledger.asked import listening
from tests.ledger.entities import (
    QPU,
    SOURCE,
    eventually_waits,
    rows,
    scalar,
    source_of,
    submission,
    submit,
)
from tests.ledger.test_quotas import IN_LAB

WRITTEN = """
SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM programs),
    (SELECT count(*) FROM job_events), (SELECT count(*) FROM reservations),
    (SELECT sum(job_count) FROM batches), (SELECT sum(reserved) FROM allowances)
"""

PAYLOADS = "SELECT count(*) FROM payloads"


@pytest.fixture(autouse=True)
async def open_batch(ledger: Ledger) -> None:
    await open_lab(ledger, "alice")
    await submit(ledger, IN_LAB)


async def test_it_takes_one_statement(ledger: Ledger) -> None:
    with listening() as asked:
        accepted = await submit(ledger, IN_LAB)
    assert len(asked.texts) == 1, asked.texts
    assert not asked.others, "they are texts, and go to asyncpg"
    assert accepted.is_new
    assert await source_of(ledger, accepted.job_id) == SOURCE
    assert await rows(ledger, WRITTEN) == [(2, 2, 2, 0, 2, None)]


async def test_without_an_open_batch_it_writes_nothing(ledger: Ledger) -> None:
    async with ledger.begin() as session:
        await session.execute(text("UPDATE batches SET state = 'closed', closed_at = now()"))
    wish = await submission(ledger, source=SOURCE + "// new")
    before = await scalar(ledger, PAYLOADS)
    async with ledger.look() as session:
        recorded = await ledger.payloads.to_record(session, [one.source for one in wish.programs])
        to = CarriedBy(QPU, IN_LAB.user, IN_LAB.project)
        assert await at_once.write(session, IN_LAB, to, {uuid4(): wish}, recorded) is None
    assert await scalar(ledger, PAYLOADS) == before


async def test_what_it_may_use_is_reserved(ledger: Ledger) -> None:
    await grant(ledger, LAB, "3")
    with listening() as asked:
        await submit(ledger, IN_LAB, estimate_seconds=2)
    assert len(asked.texts) == 1, asked.texts
    assert (await allowance(ledger, LAB)).reserved == 2
    await require_in_order(ledger)


@pytest.mark.parametrize(
    ("obstacle", "error", "said"),
    [
        (
            "UPDATE qpus SET control = 'draining', control_reason = 'a leak'",
            Unavailable,
            "rack is draining and takes no jobs: a leak",
        ),
        ("UPDATE qpus SET projects = '{physics}'", AccessDenied, "rack is not for project 'lab'"),
        ("DELETE FROM members", AccessDenied, "not a member"),
        ("UPDATE allowances SET granted = 1.5", QuotaExceeded, "1.5"),
    ],
)
async def test_who_is_refused_hears_why_and_leaves_nothing(
    ledger: Ledger, obstacle: str, error: type[QpuflowError], said: str
) -> None:
    await grant(ledger, LAB, "3")
    async with ledger.begin() as session:
        await session.execute(text(obstacle))
    before = await rows(ledger, WRITTEN)
    with pytest.raises(error, match=said):
        await submit(ledger, IN_LAB, estimate_seconds=2, source=SOURCE + "// new")
    assert await rows(ledger, WRITTEN) == before


async def test_a_full_batch_is_closed_and_the_next_takes_the_job(ledger: Ledger) -> None:
    async with ledger.begin() as session:
        await session.execute(text("UPDATE batches SET job_count = 2000"))
    assert (await submit(ledger, IN_LAB)).is_new
    states = await rows(ledger, "SELECT state, job_count FROM batches ORDER BY job_count")
    assert states == [("open", 1), ("closed", 2000)]


async def test_a_program_in_a_file_is_looked_for_before_it_is_named(ledger: Ledger) -> None:
    large = SOURCE + "/" * INLINE_BYTES
    accepted = [await submit(ledger, IN_LAB, source=large) for _ in range(2)]
    assert await source_of(ledger, accepted[1].job_id) == large
    assert await scalar(ledger, "SELECT job_count FROM batches") == 3


async def test_who_closes_the_batch_meanwhile_is_waited_for(ledger: Ledger) -> None:
    async with ledger.begin() as session:
        await session.execute(text("UPDATE batches SET state = 'closed', closed_at = now()"))
        late = asyncio.create_task(submit(ledger, IN_LAB))
        await eventually_waits(ledger)
    accepted = await late
    assert accepted.is_new
    assert await rows(ledger, "SELECT state, job_count FROM batches ORDER BY created_at") == [
        ("closed", 1),
        ("open", 1),
    ]
