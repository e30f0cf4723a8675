"""A booker behind a stranger's backlog."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg

from bench.figures import Figure
from bench.installation import SLOW, Installation, request, run_one, worker
from qpuflow.blocks import AerQpu
from qpuflow.client.connection import Connection, connect
from qpuflow.domain.endpoints import find_endpoints

QPU = "booked"
BACKLOG, SHOTS = 60, 500
BEFORE = timedelta(seconds=10)
LENGTH = timedelta(minutes=2)

# Turns of others that began before the booker's and were not over when its job was due.
WAITED_FOR = """
WITH own AS (
    SELECT granted_at FROM leases WHERE qpu = $1 AND "user" = 'booker' AND granted_at >= $2
    ORDER BY granted_at LIMIT 1
)
SELECT count(*) FROM leases l, own WHERE l.qpu = $1 AND l."user" <> 'booker'
    AND l.granted_at < own.granted_at AND l.released_at > $2
"""


async def booker_wait(installation: Installation) -> list[Figure]:
    """The longer of two waits: at the slot's start, and after the slot was lent for a while."""
    await installation.add_qpu(QPU, AerQpu(lanes=1))
    async with (
        worker(installation, QPU),
        connect(installation.acting_as("stranger")) as stranger,
        connect(installation.acting_as("booker", operator=True)) as booker,
    ):
        await run_one(stranger, request(SLOW, 10, QPU))
        starts_at = datetime.now(UTC) + BEFORE
        await booker.bookings.book(QPU, starts_at, starts_at + LENGTH)
        ids = [(await stranger.submit(request(SLOW, SHOTS, QPU))).job_id for _ in range(BACKLOG)]
        await asyncio.sleep((starts_at - datetime.now(UTC)).total_seconds())
        waits = [await _wait(installation, booker)]
        await _lent(installation, datetime.now(UTC))
        waits.append(await _wait(installation, booker))
        for job_id in ids:
            await stranger.cancel(job_id)
    return [Figure("booker_wait_lent_jobs", max(waits), "jobs", "<= 1")]


async def _wait(installation: Installation, booker: Connection) -> int:
    """The turns of others that a job of the booker's waits for."""
    due = datetime.now(UTC)
    await run_one(booker, request(SLOW, 10, QPU))
    return await _count(installation, WAITED_FOR, QPU, due)


async def _lent(installation: Installation, since: datetime) -> None:
    """Until the stranger runs in the booker's slot."""
    query = """SELECT count(*) FROM leases WHERE qpu = $1 AND "user" = 'stranger'
        AND granted_at > $2"""
    async with asyncio.timeout(60):
        while not await _count(installation, query, QPU, since):  # noqa: ASYNC110  other processes
            await asyncio.sleep(0.1)


async def _count(installation: Installation, query: str, *values: object) -> int:
    url = find_endpoints(installation.settings).ledger_url.get_secret_value()
    database = await asyncpg.connect(url)
    try:
        return await database.fetchval(query, *values)
    finally:
        await database.close()
