"""Forgetting: what is old and finished goes whole, everything else stays."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import insert

from qpuflow.domain.errors import AccessDenied, Unavailable
from qpuflow.domain.principal import service
from qpuflow.domain.quota import Scope
from qpuflow.ledger import batches, results, retention
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.retention import Forgotten, forget
from qpuflow.ledger.schema import Transpilation
from qpuflow.ledger.submissions import Accepted
from tests.ledger.account_book import allowance, grant, require_in_order
from tests.ledger.entities import (
    ALICE,
    BOB,
    begin,
    complete,
    finished,
    hand_over,
    job_of,
    rows,
    scalar,
    source_of,
    store,
    submit,
    take,
)

RETENTION = service("retention")
MONTH = timedelta(days=30)
AGE = """
UPDATE {table} SET {column} = {column} - interval '40 days' RETURNING 1
"""
LARGE = 'OPENQASM 3.0; include "stdgates.inc"; qubit q; // ' + "x" * 1_100_000


async def age(ledger: Ledger) -> None:
    """Everything happened forty days ago."""
    for table, column in (
        ("jobs", "finished_at"),
        ("batches", "closed_at"),
        ("transpilations", "created_at"),
        ("payloads", "created_at"),
    ):
        await rows(ledger, AGE.format(table=table, column=column))
    long_ago = time.time() - 40 * 86_400
    for file in files(ledger):
        os.utime(file, (long_ago, long_ago))


def files(ledger: Ledger) -> list[Path]:
    folder = Path(ledger.payloads.url.removeprefix("file://"))
    return [file for file in folder.rglob("*") if file.is_file()]


async def counts(ledger: Ledger, *tables: str) -> list[int]:
    return [await scalar(ledger, f"SELECT count(*) FROM {table}") for table in tables]


async def compiled(ledger: Ledger, program_hash: str, content: bytes = b"qpy") -> None:
    kept = await ledger.payloads.keep(content, "application/vnd.qiskit.qpy")
    async with ledger.begin() as session:
        await ledger.payloads.record(session, [kept])
        row = {
            "program_hash": program_hash,
            "target_hash": "t",
            "options_hash": "o",
            "part": 0,
            "payload_hash": kept.hash,
            "about": {},
        }
        await session.execute(insert(Transpilation).values(row))


async def source_hash(ledger: Ledger, job_id: UUID) -> str:
    query = "SELECT source_hash FROM programs WHERE job_id = :id"
    return await scalar(ledger, query, id=job_id)


async def test_an_old_job_goes_with_everything_but_its_charge(ledger: Ledger) -> None:
    job = await complete(ledger, source=LARGE)
    assert files(ledger)
    await compiled(ledger, await source_hash(ledger, job.id))
    await age(ledger)
    assert await forget(ledger, RETENTION, MONTH) == Forgotten(
        jobs=1, batches=1, transpilations=1, payloads=3, files=1
    )
    tables = (
        "jobs",
        "programs",
        "results",
        "intents",
        "tickets",
        "job_events",
        "batches",
        "carriers",
        "transpilations",
        "payloads",
    )
    assert await counts(ledger, *tables) == [0] * len(tables)
    assert files(ledger) == []
    assert await rows(ledger, "SELECT job_id, project FROM charges") == [(job.id, "alice")]


async def test_what_a_forgotten_job_used_stays_in_its_projects_balance(ledger: Ledger) -> None:
    await complete(ledger, BOB)
    await grant(ledger, Scope("bob"), "10")
    job = await complete(ledger, BOB)
    before = await allowance(ledger, Scope("bob"))
    assert before.charged == Decimal("0.5")
    await age(ledger)
    assert (await forget(ledger, RETENTION, MONTH)).jobs == 2
    assert await allowance(ledger, Scope("bob")) == before
    await require_in_order(ledger)
    assert (await submit(ledger, BOB, key=job.key)).is_new


async def test_a_young_job_and_one_that_is_not_finished_stay(ledger: Ledger) -> None:
    young = await complete(ledger, BOB)
    accepted = await submit(ledger, ALICE)
    await rows(ledger, AGE.format(table="jobs", column="created_at"))
    await rows(ledger, AGE.format(table="payloads", column="created_at"))
    assert await forget(ledger, RETENTION, MONTH) == Forgotten(0, 0, 0, 0, 0)
    async with ledger.begin() as session:
        assert len(await results.read(ledger, session, service("test"), young.id)) == 1
    assert await source_of(ledger, accepted.job_id)


async def test_what_a_job_at_work_was_compiled_to_stays(ledger: Ledger) -> None:
    accepted = await submit(ledger)
    await begin(ledger, accepted.batch_id)
    (job,) = await take(ledger, accepted.batch_id)
    await compiled(ledger, await source_hash(ledger, job.id))
    await hand_over(ledger, [job])
    await age(ledger)
    assert (await forget(ledger, RETENTION, MONTH)).transpilations == 0
    await store(ledger, [await finished(ledger, job)])


async def test_bytes_that_a_young_job_shares_with_an_old_one_stay(ledger: Ledger) -> None:
    await complete(ledger, ALICE, source=LARGE)
    await age(ledger)
    young = await complete(ledger, BOB, source=LARGE)
    await rows(ledger, AGE.format(table="payloads", column="created_at"))
    assert (await forget(ledger, RETENTION, MONTH)).jobs == 1
    assert await source_of(ledger, young.id) == LARGE


async def test_an_unnamed_payload_stays_for_an_hour(ledger: Ledger) -> None:
    small = await ledger.payloads.keep(b"small", "text/plain")
    large = await ledger.payloads.keep(b"large" * 300_000, "text/plain")
    async with ledger.begin() as session:
        await ledger.payloads.record(session, [small, large])
    assert await forget(ledger, RETENTION, MONTH) == Forgotten(0, 0, 0, 0, 0)
    await age(ledger)
    assert await forget(ledger, RETENTION, MONTH) == Forgotten(0, 0, 0, payloads=2, files=1)


async def test_a_file_that_a_crashed_writer_left_is_removed(ledger: Ledger) -> None:
    await ledger.payloads.keep(b"large" * 300_000, "text/plain")
    assert (await forget(ledger, RETENTION, MONTH)).files == 0
    await age(ledger)
    assert (await forget(ledger, RETENTION, MONTH)).files == 1


async def test_a_batch_that_has_a_job_or_still_accepts_stays(ledger: Ledger) -> None:
    await complete(ledger, ALICE)
    await submit(ledger, BOB)
    await rows(ledger, AGE.format(table="batches", column="closed_at"))
    assert (await forget(ledger, RETENTION, MONTH)).batches == 0


async def test_many_jobs_go_chunk_by_chunk(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNK", 3)
    accepted = [await submit(ledger) for _ in range(10)]
    await begin(ledger, accepted[0].batch_id)
    taken = await take(ledger, accepted[0].batch_id)
    await hand_over(ledger, taken)
    await store(ledger, [await finished(ledger, job) for job in taken])
    async with ledger.begin() as session:
        assert await batches.close_if_empty(session, accepted[0].batch_id)
    await age(ledger)
    assert (await forget(ledger, RETENTION, MONTH)).jobs == 10
    assert await scalar(ledger, "SELECT count(*) FROM charges") == 10


async def test_a_job_in_somebodys_hands_is_left_for_the_next_time(ledger: Ledger) -> None:
    await complete(ledger)
    await age(ledger)
    async with ledger.begin() as session:
        from sqlalchemy import text

        await session.execute(text("SELECT 1 FROM jobs FOR UPDATE"))
        async with asyncio.timeout(10):
            assert (await forget(ledger, RETENTION, MONTH)).jobs == 0
    assert (await forget(ledger, RETENTION, MONTH)).jobs == 1


async def test_a_forgotten_key_is_free_again(ledger: Ledger) -> None:
    job = await complete(ledger)
    await age(ledger)
    await forget(ledger, RETENTION, MONTH)
    assert (await submit(ledger, key=job.key)).is_new


async def test_jobs_may_be_submitted_while_their_payloads_are_collected(ledger: Ledger) -> None:
    """Whichever is first, an accepted job has its source."""

    async def submitted() -> Accepted:
        while True:
            with contextlib.suppress(Unavailable):  # collected between keeping and naming it
                return await submit(ledger, source=LARGE)

    async def resubmit() -> None:
        for _ in range(6):
            accepted = await submitted()
            assert await source_of(ledger, accepted.job_id) == LARGE
            assert (await job_of(ledger, accepted.job_id)).program_count == 1

    async def collect() -> None:
        for _ in range(4):
            await age(ledger)
            await forget(ledger, RETENTION, MONTH)

    await complete(ledger, source=LARGE)
    await asyncio.gather(resubmit(), collect())


async def test_only_an_operator_may_forget(ledger: Ledger) -> None:
    with pytest.raises(AccessDenied):
        await forget(ledger, ALICE, MONTH)
