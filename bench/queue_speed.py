"""How fast jobs go through: a Bell pair, 1,024 shots, on Aer."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

from bench.figures import Figure, quantile
from bench.installation import BELL, Installation, all_ended, family, request, run_one
from qpuflow.client.connection import Connection, connect
from qpuflow.domain.endpoints import find_record

IDLE_JOBS = 15
BURST_JOBS = 1_000
USERS, JOBS_EACH = 50, 20
LOOP_JOBS = 600
CLIENTS, SUBMITS_EACH = 8, 50


async def idle_latency(installation: Installation) -> list[Figure]:
    seconds: list[float] = []
    await run_one(installation.connection, request())
    for _ in range(IDLE_JOBS):
        await asyncio.sleep(installation.settings.linger_seconds + 1)
        began = time.perf_counter()
        await run_one(installation.connection, request())
        seconds.append(time.perf_counter() - began)
    return [
        Figure("idle_latency_p50_seconds", quantile(seconds, 0.5), "s", "<= 0.25"),
        Figure("idle_latency_p95_seconds", quantile(seconds, 0.95), "s", "<= 0.5"),
    ]


async def submit_ack(installation: Installation) -> list[Figure]:
    """Eight clients at once, each a connection of its own. The first submission of a process, which
    imports Qiskit, is a figure of its own, and that of a client, which connects, is left out: all
    begin when the last one has."""
    alone, together = asyncio.Barrier(1), asyncio.Barrier(CLIENTS)
    first, _ = await _acknowledged(installation, "client", alone)
    measured = await asyncio.gather(
        *(_acknowledged(installation, f"client-{one}", together) for one in range(CLIENTS))
    )
    every = [one for _, milliseconds in measured for one in milliseconds]
    return [
        Figure("submit_ack_p50_ms", quantile(every, 0.5), "ms", "<= 10"),
        Figure("submit_ack_p99_ms", quantile(every, 0.99), "ms", "<= 50"),
        Figure("submit_ack_first_ms", first, "ms"),
    ]


async def _acknowledged(
    installation: Installation, user: str, ready: asyncio.Barrier
) -> tuple[float, list[float]]:
    """Milliseconds that the first submission takes, and each of those after it."""
    ids = list[UUID]()

    async def submit(connection: Connection) -> float:
        began = time.perf_counter()
        ids.append((await connection.submit(request())).job_id)
        return 1000 * (time.perf_counter() - began)

    async with connect(installation.acting_as(user)) as connection:
        first = await submit(connection)
        await ready.wait()
        further = [await submit(connection) for _ in range(SUBMITS_EACH)]
        await all_ended(connection, ids)
    return first, further


async def burst(installation: Installation) -> list[Figure]:
    connection = installation.connection
    began = time.perf_counter()
    receipts = await connection.submit_all([request() for _ in range(BURST_JOBS)])
    await all_ended(connection, [receipt.job_id for receipt in receipts])
    rate = BURST_JOBS / (time.perf_counter() - began)
    return [Figure("burst_jobs_per_second", rate, "1/s", ">= 200")]


async def burst_of_many(installation: Installation) -> list[Figure]:
    async def user(number: int) -> None:
        async with connect(installation.acting_as(f"user-{number}")) as connection:
            receipts = await connection.submit_all([request() for _ in range(JOBS_EACH)])
            await all_ended(connection, [receipt.job_id for receipt in receipts])

    began = time.perf_counter()
    await asyncio.gather(*(user(number) for number in range(USERS)))
    rate = USERS * JOBS_EACH / (time.perf_counter() - began)
    return [Figure("burst_50_users_jobs_per_second", rate, "1/s", ">= 50")]


async def closed_loop(installation: Installation) -> list[Figure]:
    """Each program sent when the result before it is there."""
    async with installation.connection.session("aer") as session:
        await session.run(BELL)
        began = time.perf_counter()
        for _ in range(LOOP_JOBS):
            await session.run(BELL)
        rate = LOOP_JOBS / (time.perf_counter() - began)
    return [Figure("closed_loop_jobs_per_second", rate, "1/s", ">= 60")]


async def memory(installation: Installation) -> list[Figure]:
    """Proportional set size of the worker of `aer` and all that it started."""
    record = find_record(installation.settings)
    assert record is not None
    (pid,) = [part.pid for part in record.parts if part.name == "worker-aer"]
    assert pid is not None
    total = sum(process.memory_full_info().pss for process in family(pid))
    return [Figure("pss_mb_per_lane", total / 1e6, "MB", "<= 450")]
