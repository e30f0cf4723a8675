"""One job on the dummy rack, and a queue of them: what it costs above the vendor's SDK."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Figure, quantile
from bench.installation import BELL, Installation, all_ended, installation, request
from bench.rack_sdk import sdk_seconds
from qpuflow.deployments.stack import shipped_rack
from qpuflow.deployments.stack.plan import SHIPPED_RACK
from qpuflow.domain.settings import Settings
from qpuflow.drivers.qblox.config import load_configuration
from qpuflow.drivers.qblox.daemon.journal import Journal
from qpuflow.drivers.qblox.daemon.rack import Rack
from qpuflow.drivers.qblox.devices import device_of
from qpuflow.drivers.qblox.driver import QbloxDriver
from qpuflow.drivers.qblox.engine import Engine
from qpuflow.drivers.qblox.link.sockets import answer_all
from qpuflow.drivers.qblox.rack_file import SHIPPED, load_rack
from tests.racks.circuits import bell, compiled

PAIRS = 7
JOBS = 15
MANY = 100_000
SHORT_SHOTS = 247
"""Of a Bell pair, in which it takes 50 ms: almost all of it is passive reset."""
QUEUED = 400
COUNTED_SECONDS = 12.0
AFTER_SUBMIT = ("dispatch", "wait", "post_process", "store")


@asynccontextmanager
async def _rack() -> AsyncGenerator[QbloxDriver]:
    """A daemon's parts in this process, and a driver that is linked to them."""
    settings = load_rack(SHIPPED)
    configuration = load_configuration(settings.device_file, settings.hardware_file)
    with TemporaryDirectory() as folder:
        address = f"ipc://{folder}/rack.sock"
        journal = Journal(Path(folder, "journal.sqlite"))
        engine = Engine(settings, configuration, Path(folder, "work"))
        rack = Rack(settings, configuration, journal, engine)
        await engine.warm()
        parts = [
            asyncio.create_task(part)
            for part in (rack.work(), answer_all(address, None, rack.answer))
        ]
        driver = QbloxDriver("rack", {"address": address})
        try:
            yield driver
        finally:
            await driver.close()
            rack.stop()
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            journal.close()


class _Runs:
    """Bell pairs on one rack, timed from submit to fetched result."""

    def __init__(self, driver: QbloxDriver) -> None:
        configuration = load_configuration(
            load_rack(SHIPPED).device_file, load_rack(SHIPPED).hardware_file
        )
        device = device_of("rack", configuration.device, max_shots=10**6, simulated=True)
        self._bell = compiled(bell(), device)
        self._driver = driver
        self._numbers = count()

    async def seconds(self, shots: int) -> float:
        began = time.perf_counter()
        ticket = await self._driver.submit_fenced(
            [self._bell], shots, f"bench-{next(self._numbers)}", 1
        )
        async for _ in self._driver.watch(ticket):
            pass
        await self._driver.fetch(ticket)
        return time.perf_counter() - began


async def recompile() -> list[Figure]:
    """Another number of shots is another schedule; the same one is compiled already."""
    async with _rack() as driver:
        runs = _Runs(driver)
        await runs.seconds(100)
        firsts, seconds = list[float](), list[float]()
        for shots in range(1000, 1000 + PAIRS):
            firsts.append(await runs.seconds(shots))
            seconds.append(await runs.seconds(shots))
    ratio = statistics.median(seconds) / statistics.median(firsts)
    return [
        Figure("first_ms", 1000 * statistics.median(firsts), "ms"),
        Figure("second_ms", 1000 * statistics.median(seconds), "ms"),
        Figure("recompile_ratio", ratio, "1", "<= 0.5"),
    ]


async def many_shots() -> list[Figure]:
    async with _rack() as driver:
        runs = _Runs(driver)
        await runs.seconds(100)
        ours = [await runs.seconds(MANY + number) for number in range(3)]
    alone = await sdk_seconds(*(MANY + number for number in range(3)))
    ratio = statistics.median(ours) / statistics.median(alone)
    return [
        Figure("shots_100k_seconds", statistics.median(ours), "s"),
        Figure("shots_100k_sdk_seconds", statistics.median(alone), "s"),
        Figure("shots_100k_ratio", ratio, "1", "<= 1.2"),
    ]


@asynccontextmanager
async def _stack(*, real_time: bool) -> AsyncGenerator[Installation]:
    def prepare(settings: Settings) -> None:
        file = shipped_rack.prepare(settings)
        if real_time:
            text = file.read_text()
            file.write_text(
                text.replace("[dummy.clouds]", "[dummy]\nreal_time = true\n[dummy.clouds]")
            )

    async with installation(workers=(SHIPPED_RACK,), prepare=prepare) as running:
        yield running


async def bell_overhead() -> list[Figure]:
    """Each job with a schedule of its own, as the SDK has it. From the worker on: dispatched,
    run, counted, stored."""
    async with _stack(real_time=False) as running:
        milliseconds: list[float] = []
        async with running.connection.session(SHIPPED_RACK) as session:
            await session.run(BELL, shots=100)
            for shots in range(1000, 1000 + JOBS):
                await session.run(BELL, shots=shots)
        for job in await running.connection.jobs(qpu=SHIPPED_RACK, limit=JOBS):
            timings = (await running.connection.report(job.id)).timings
            took = sum(timings[f"{step}_seconds"] for step in AFTER_SUBMIT)
            milliseconds.append(1000 * took)
    alone = [1000 * one for one in await sdk_seconds(*range(1000, 1000 + JOBS))]
    ours, sdk = quantile(milliseconds, 0.5), quantile(alone, 0.5)
    return [
        Figure("bell_ms", ours, "ms"),
        Figure("bell_sdk_ms", sdk, "ms"),
        Figure("bell_overhead_ms", ours - sdk, "ms", "<= 60"),
    ]


async def busy_fraction() -> list[Figure]:
    """A dummy that takes as long as a real one: what it charged for, of the time that passed."""
    async with _stack(real_time=True) as running:
        connection = running.connection
        # At once: one by one takes longer than the rack needs for all of them.
        receipts = await connection.submit_all(
            [request(BELL, SHORT_SHOTS, SHIPPED_RACK) for _ in range(QUEUED)]
        )
        await all_ended(connection, [receipt.job_id for receipt in receipts[: QUEUED // 8]])
        began, before = time.perf_counter(), await _played(running)
        await asyncio.sleep(COUNTED_SECONDS)
        played = await _played(running) - before
        fraction = played / (time.perf_counter() - began)
    return [Figure("rack_busy_fraction", fraction, "1", ">= 0.85")]


async def _played(running: Installation) -> float:
    """Seconds that the rack says it was busy, since it is up."""
    driver = QbloxDriver("rack", {"address": shipped_rack.address(running.settings)})
    try:
        health = await driver.health()
    finally:
        await driver.close()
    return float(health["played_seconds"] or 0)
