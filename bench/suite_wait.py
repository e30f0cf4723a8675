"""What it costs to wait for many jobs at once, and how soon an end is noticed."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psutil
from qiskit import QuantumCircuit

from bench.figures import Figure, collect, quantile
from qpuflow.domain.compiling import compile_circuit
from qpuflow.drivers.base import Driver, Ticket
from qpuflow.drivers.braket import BraketDriver
from qpuflow.drivers.quantinuum import QuantinuumDriver
from qpuflow.drivers.waiting import Pace

JOBS = 1_000
AT_ONCE = 8
SETTLED_SECONDS, STEADY_SECONDS = 120.0, 20.0
"""Quantinuum is asked twice for each websocket, 20 times a second at most."""
POLL_SECONDS = Pace().queued_cap_seconds
"""The pause that a long wait has: so the waits are steady from their beginning."""
INTERVAL_SECONDS = POLL_SECONDS * (1 + Pace().jitter)


@dataclass(frozen=True)
class Cost:
    """Of all the waits together, and by how much each end was noticed late."""

    kilobytes_each: float
    cpu_fraction: float
    late_seconds: list[float]


async def by_websocket() -> list[Figure]:
    cost = await _wait("quantinuum", QuantinuumDriver, {"silence_seconds": 60.0})
    late = quantile(cost.late_seconds, 0.95)
    return [
        Figure("wait_kb_per_job", cost.kilobytes_each, "kB", "<= 200"),
        Figure("wait_cpu_fraction", cost.cpu_fraction, "core", "<= 0.1"),
        Figure("notice_ws_p95_seconds", late, "s", "<= 1"),
    ]


async def by_polling() -> list[Figure]:
    cost = await _wait("braket", BraketDriver, {"poll_seconds": POLL_SECONDS})
    late = quantile(cost.late_seconds, 0.95) / INTERVAL_SECONDS
    return [
        Figure("poll_kb_per_job", cost.kilobytes_each, "kB", "<= 200"),
        Figure("poll_cpu_fraction", cost.cpu_fraction, "core", "<= 0.1"),
        Figure("notice_poll_p95_intervals", late, "", "<= 1"),
    ]


MEASUREMENTS = {"by_websocket": by_websocket, "by_polling": by_polling}


async def measure(only: Collection[str] = ()) -> list[Figure]:
    return await collect(MEASUREMENTS, only)


async def _wait(cloud: str, make: Callable[..., Driver], more: Mapping[str, Any]) -> Cost:
    async with _served(cloud) as (process, known):
        driver = make(cloud, known["settings"] | more, known["secrets"])
        try:
            tickets = await _submitted(driver)
            me, noticed = psutil.Process(), dict[str, float]()
            gc.collect()
            before = me.memory_full_info().uss
            waits = [asyncio.create_task(_notice(driver, one, noticed)) for one in tickets]
            await asyncio.sleep(SETTLED_SECONDS)
            cpu_fraction = await _steady_cpu(me)
            gc.collect()
            grown = me.memory_full_info().uss - before
            ended = await _ask(process)
            await asyncio.gather(*waits)
        finally:
            await driver.close()
    # A handle begins with the token; what follows says which part of the job it is.
    late = [noticed[handle[: len(tickets[0].token)]] - at for handle, at in ended.items()]
    return Cost(grown / 1e3 / JOBS, cpu_fraction, late)


async def _submitted(driver: Driver) -> list[Ticket]:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    executable = compile_circuit(circuit, await driver.describe()).executable("flip")
    gate = asyncio.Semaphore(AT_ONCE)

    async def submit() -> Ticket:
        async with gate:
            return await driver.submit([executable], 10, f"qpuflow-{uuid4().hex}-1")

    return await asyncio.gather(*(submit() for _ in range(JOBS)))


async def _notice(driver: Driver, ticket: Ticket, noticed: dict[str, float]) -> None:
    async for status in driver.watch(ticket):
        if status.state.is_final:
            noticed[ticket.token] = time.time()
            return


async def _steady_cpu(process: psutil.Process) -> float:
    before = process.cpu_times()
    await asyncio.sleep(STEADY_SECONDS)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / STEADY_SECONDS


@asynccontextmanager
async def _served(cloud: str) -> AsyncGenerator[tuple[Process, Any]]:
    # Its last line is longer than a stream usually takes.
    process = await create_subprocess_exec(
        sys.executable, "-m", "bench.wait_cloud", cloud, stdin=PIPE, stdout=PIPE, limit=2**24
    )
    try:
        yield process, await _line(process)
    finally:
        process.kill()
        await process.wait()


async def _ask(process: Process) -> dict[str, float]:
    """Let the queue run: when each job ended."""
    assert process.stdin is not None
    process.stdin.write(b"\n")
    await process.stdin.drain()
    return await _line(process)


async def _line(process: Process) -> Any:
    assert process.stdout is not None
    return json.loads(await process.stdout.readline())
