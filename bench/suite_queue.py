"""How fast the queue is: a Bell pair, 1,024 shots, on Aer, through the whole local stack."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psutil

from bench.figures import Figure, quantile
from qpuflow.client.connection import Connection, connect
from qpuflow.deployments.stack.control import running_stack
from qpuflow.deployments.stack.plan import WORKER_TYPE, Plan
from qpuflow.domain.endpoints import find_record
from qpuflow.domain.request import JobRequest, Program
from qpuflow.domain.settings import Settings

BELL = Program(
    name="bell",
    source='OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2]; '
    "h q[0]; cx q[0], q[1]; measure q -> c;",
)
IDLE_JOBS = 20
BURST_JOBS = 1_000
USERS, JOBS_EACH = 50, 20
LOOP_JOBS = 100
CLIENTS, SUBMITS_EACH = 8, 50


async def measure() -> list[Figure]:
    async with _installation() as settings, connect(settings) as connection:
        await _run_one(connection)
        figures = [
            *await _idle(connection, settings),
            *await _acknowledged(settings),
            await _burst(connection),
            await _burst_of_many(settings),
            await _closed_loop(connection),
        ]
        figures.append(_memory(settings))
        return figures


@asynccontextmanager
async def _installation() -> AsyncGenerator[Settings]:
    with tempfile.TemporaryDirectory(prefix="qpuflow-bench-") as home:
        settings = Settings(home=Path(home), port=0, workers=("aer",), user="bench")
        async with running_stack(settings, Plan(worker_type=WORKER_TYPE)):
            yield settings


def _request() -> JobRequest:
    return JobRequest(programs=[BELL], shots=1024, qpu="aer", key=uuid4().hex)


async def _run_one(connection: Connection) -> float:
    began = time.perf_counter()
    receipt = await connection.submit(_request())
    await connection.wait(receipt.job_id)
    return time.perf_counter() - began


async def _idle(connection: Connection, settings: Settings) -> list[Figure]:
    seconds: list[float] = []
    for _ in range(IDLE_JOBS):
        await asyncio.sleep(settings.linger_seconds + 1)
        seconds.append(await _run_one(connection))
    return [
        Figure("idle_latency_p50_seconds", quantile(seconds, 0.5), "s", "<= 0.25"),
        Figure("idle_latency_p95_seconds", quantile(seconds, 0.95), "s", "<= 0.5"),
    ]


async def _acknowledged(settings: Settings) -> list[Figure]:
    """Eight clients at once, each a connection of its own."""

    async def client(number: int) -> tuple[list[float], list[UUID]]:
        own = settings.model_copy(update={"user": f"client-{number}"})
        milliseconds, ids = list[float](), list[UUID]()
        async with connect(own) as connection:
            for _ in range(SUBMITS_EACH):
                began = time.perf_counter()
                ids.append((await connection.submit(_request())).job_id)
                milliseconds.append(1000 * (time.perf_counter() - began))
            await _all_ended(connection, ids)
        return milliseconds, ids

    measured = await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    every = [one for milliseconds, _ in measured for one in milliseconds]
    return [
        Figure("submit_ack_p50_ms", quantile(every, 0.5), "ms", "<= 10"),
        Figure("submit_ack_p99_ms", quantile(every, 0.99), "ms", "<= 50"),
    ]


async def _burst(connection: Connection) -> Figure:
    began = time.perf_counter()
    receipts = [await connection.submit(_request()) for _ in range(BURST_JOBS)]
    await _all_ended(connection, [receipt.job_id for receipt in receipts])
    rate = BURST_JOBS / (time.perf_counter() - began)
    return Figure("burst_jobs_per_second", rate, "1/s", ">= 200")


async def _burst_of_many(settings: Settings) -> Figure:
    async def user(number: int) -> None:
        own = settings.model_copy(update={"user": f"user-{number}"})
        async with connect(own) as connection:
            receipts = [await connection.submit(_request()) for _ in range(JOBS_EACH)]
            await _all_ended(connection, [receipt.job_id for receipt in receipts])

    began = time.perf_counter()
    await asyncio.gather(*(user(number) for number in range(USERS)))
    rate = USERS * JOBS_EACH / (time.perf_counter() - began)
    return Figure("burst_50_users_jobs_per_second", rate, "1/s", ">= 50")


async def _closed_loop(connection: Connection) -> Figure:
    await _run_one(connection)
    began = time.perf_counter()
    for _ in range(LOOP_JOBS):
        await _run_one(connection)
    rate = LOOP_JOBS / (time.perf_counter() - began)
    return Figure("closed_loop_jobs_per_second", rate, "1/s", ">= 60")


async def _all_ended(connection: Connection, ids: list[UUID]) -> None:
    async for states in connection.watch(ids):
        failed = [job for job, state in states.items() if state.is_final and state != "completed"]
        assert not failed, f"{len(failed)} jobs came to no result"


def _memory(settings: Settings) -> Figure:
    """Proportional set size of the worker of `aer` and all that it started."""
    record = find_record(settings)
    assert record is not None
    (pid,) = [part.pid for part in record.parts if part.name == "worker-aer"]
    worker = psutil.Process(pid)
    family = [worker, *worker.children(recursive=True)]
    total = sum(process.memory_full_info().pss for process in family)
    return Figure("pss_mb_per_lane", total / 1e6, "MB", "<= 450")
