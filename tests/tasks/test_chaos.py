"""Hostile weather over the vendors' clouds, and carriers that are killed anywhere.

What counts is in the clouds' own books. A few seeds run always; ``make chaos`` runs many. A failure
names its seed; `QPUFLOW_CHAOS_SEED` with `QPUFLOW_CHAOS_RUNS=1` repeats its weather.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest

from qpuflow.domain.errors import Unavailable
from qpuflow.domain.executable import Executable
from qpuflow.domain.job import JobState
from qpuflow.domain.principal import service
from qpuflow.domain.request import JobRequest, Program
from qpuflow.domain.settings import Settings
from qpuflow.drivers.base import Driver, Ticket
from qpuflow.drivers.fake_clouds import Books, Fault, Weather
from qpuflow.drivers.forked import ForkedPool
from qpuflow.ledger import carriers, qpus, reports
from qpuflow.ledger.database import Ledger
from qpuflow.tasks.admission import Journey, admit
from qpuflow.tasks.work import Carrying
from tests.ledger import databases
from tests.ledger.entities import scalar
from tests.tasks.journalled import NAME, Crash
from tests.tasks.pipeline import STEPS, USER, Pipeline, run

pytestmark = pytest.mark.flaky(reruns=0)  # one failure in a hundred is one execution too many

FIRST = int(os.environ.get("QPUFLOW_CHAOS_SEED", "1"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("QPUFLOW_CHAOS_RUNS", "3")))
CARRIERS = 60
"""More than any weather of ours should need."""

RATES = {
    Fault.SLOW: 0.03,
    Fault.THROTTLED: 0.05,
    Fault.BROKEN_BEFORE: 0.05,
    Fault.BROKEN_AFTER: 0.08,
    Fault.REPLY_LOST: 0.08,
    Fault.DELIVERED_TWICE: 0.0,
    Fault.TRUNCATED: 0.1,
    Fault.UNKNOWN_WORD: 0.1,
    Fault.STEP_BACK: 0.1,
    Fault.TOKEN_EXPIRED: 0.03,
    Fault.LISTED_LATE: 0.3,
    Fault.REFRESH_REFUSED: 0.1,
    Fault.SOCKET_DROPPED: 0.3,
    Fault.SOCKET_SILENT: 0.1,
}
TWO_PROGRAMS = [
    Program(
        name=name,
        source='OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c;'
        f"x q[{qubit}]; c = measure q;",
    )
    for name, qubit in (("low", 0), ("high", 1))
]


def weather(seed: int) -> Weather:
    return Weather(
        seed, RATES, slow_seconds=0.05, retry_after_seconds=0.05, listed_after_seconds=0.3
    )


Sky = Callable[[int], Any]


@contextmanager
def braket(seed: int) -> Generator[tuple[Driver, Books]]:
    from qpuflow.drivers.braket import BraketDriver
    from qpuflow.drivers.fake_clouds.braket import FakeBraket
    from qpuflow.drivers.fake_clouds.braket.served import braket_served

    sky = weather(seed)
    # Amazon makes no second task of a client token, whoever repeats the request.
    sky.rates[Fault.DELIVERED_TWICE] = 0.1
    with braket_served(FakeBraket(sky, queue_seconds=0.1)) as at:
        yield BraketDriver(NAME, at.settings(settle_seconds=0.6), at.secrets), at.cloud.books


@contextmanager
def ibm(seed: int) -> Generator[tuple[Driver, Books]]:
    from qpuflow.drivers.fake_clouds.ibm import FakeIbm
    from qpuflow.drivers.fake_clouds.ibm.served import ibm_served
    from qpuflow.drivers.ibm import IbmDriver

    with ibm_served(FakeIbm(weather(seed), queue_seconds=0.1)) as at:
        yield IbmDriver(NAME, at.settings(settle_seconds=1.5), at.secrets), at.cloud.books


@contextmanager
def quantinuum(seed: int) -> Generator[tuple[Driver, Books]]:
    from qpuflow.drivers.fake_clouds.quantinuum import FakeQuantinuum
    from qpuflow.drivers.fake_clouds.quantinuum.served import quantinuum_served
    from qpuflow.drivers.quantinuum import QuantinuumDriver

    with quantinuum_served(FakeQuantinuum(weather(seed), queue_seconds=0.1)) as at:
        yield QuantinuumDriver(NAME, at.settings(settle_seconds=1.5), at.secrets), at.cloud.books


class Mortal:
    """A driver whose process dies at times, just before it submits or just after."""

    def __init__(self, driver: Driver, chance: Random) -> None:
        self._driver, self._chance = driver, chance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    async def submit(self, executables: Sequence[Executable], shots: int, token: str) -> Ticket:
        fate = self._chance.random()
        if fate < 0.1:
            raise Crash
        ticket = await self._driver.submit(executables, shots, token)
        if fate > 0.85:
            raise Crash
        return ticket


class Campaign:
    """One job in one weather, until it ends."""

    def __init__(self, ledger: Ledger, driver: Driver, compilers: ForkedPool, seed: int) -> None:
        self.chance = Random(seed)
        mortal: Any = Mortal(driver, self.chance)
        self.pipeline = Pipeline(ledger, mortal, compilers)
        self.pipeline.settings = Settings(max_attempts=CARRIERS, lost_after_seconds=30)

    async def run(self) -> UUID:
        journey = Journey(NAME, key=uuid4().hex)
        request = JobRequest(programs=TWO_PROGRAMS, shots=10)
        job_id = (await admit(self.pipeline.ledger, USER, request, journey)).job_id
        for _ in range(CARRIERS):
            carrying = await self.pipeline.begin(await self.pipeline.batch_of(job_id))
            # Its process dies, or its run fails: the reaper's part comes next.
            with suppress(Crash, Unavailable):
                await self._carry(carrying)
            if (await self.pipeline.job(job_id)).state.is_final:
                break
            await self._lose(carrying)
        return job_id

    async def _carry(self, carrying: Carrying) -> None:
        chunk = await self.pipeline.resume(carrying)
        chunk = chunk if chunk.works else await self.pipeline.take(carrying)
        for step in STEPS:
            chunk = await run(step, chunk)
            if self.chance.random() < 0.08:
                raise Crash

    async def _lose(self, carrying: Carrying) -> None:
        async with self.pipeline.ledger.begin() as session:
            (one,) = [c for c in await carriers.live(session) if c.id == carrying.carrier_id]
            await carriers.lose(session, carrying.principal, one, "it was killed", CARRIERS)


@pytest.fixture
async def sea(ledger_url: str, tmp_path: Path) -> AsyncGenerator[Ledger]:
    async with databases.opened(ledger_url, tmp_path / "payloads") as ledger:
        yield ledger


async def described(driver: Driver) -> Any:
    """In this weather even that may take a few questions."""
    for _ in range(20):
        try:
            return await driver.describe()
        except Unavailable:
            continue
    raise AssertionError("it never answered")


@pytest.mark.parametrize("cloud", [braket, ibm, quantinuum], ids=lambda cloud: cloud.__name__)
@pytest.mark.parametrize("seed", SEEDS)
async def test_no_weather_loses_a_job_or_runs_it_twice(
    sea: Ledger, compilers: ForkedPool, cloud: Sky, seed: int
) -> None:
    with cloud(seed) as (driver, books):
        device = await described(driver)
        async with sea.begin() as session:
            await qpus.register(
                session, service("test"), device, block="test/test", pool=NAME, lanes=1
            )
        job_id = await Campaign(sea, driver, compilers, seed).run()
        await driver.close()
    report = await reports.read(sea, USER, job_id)
    assert report.state is JobState.COMPLETED, report
    assert [program.counts for program in report.programs] == [{"01": 10}, {"10": 10}]
    assert books.executed_twice == []
    assert await scalar(sea, "SELECT count(*) FROM charges") == 1
    attempts = {handle if cloud is ibm else handle.rsplit("-", 1)[0] for handle in executed(books)}
    assert len(attempts) == 1, f"one attempt ran, not {attempts}"


def executed(books: Books) -> list[str]:
    from qpuflow.drivers.fake_clouds import Kind

    return list(books.count(Kind.EXECUTED))
