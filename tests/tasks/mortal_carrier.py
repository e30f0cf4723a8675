"""A carrier in a process of its own, which kill -9 ends where it is told to.

Everything that it needs is made in there, as after any restart: its connections, its driver.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from qpuflow.domain.compiling import MODULES
from qpuflow.domain.errors import Unavailable
from qpuflow.domain.executable import Executable
from qpuflow.drivers.base import Driver, Ticket
from qpuflow.drivers.braket import BraketDriver
from qpuflow.drivers.fork_servers import prefork
from qpuflow.drivers.forked import ForkedPool
from qpuflow.drivers.ibm import IbmDriver
from qpuflow.drivers.ibm.pubs import PRELOAD as IBM
from qpuflow.drivers.quantinuum import QuantinuumDriver
from qpuflow.drivers.quantinuum.programs import PRELOAD as QUANTINUUM
from tests.ledger import databases
from tests.tasks.pipeline import STEPS, Pipeline, run

NEEDED = tuple(dict.fromkeys((*MODULES, *IBM, *QUANTINUUM, "boto3", "scipy.stats", "xarray")))
DRIVERS: Mapping[str, Callable[..., Driver]] = {
    "braket": BraketDriver,
    "ibm": IbmDriver,
    "quantinuum": QuantinuumDriver,
}


class Place(StrEnum):
    """Where the process is killed: between two steps, or around the submission."""

    BEFORE_TRANSPILE = "before transpile"
    AFTER_TRANSPILE = "after transpile"
    AFTER_BOOK_SLOT = "after book_slot"
    BEFORE_SUBMIT = "before submit"
    INSIDE_SUBMIT = "inside submit"
    """Some milliseconds after it began: before, between or after the vendor's requests."""
    AFTER_SUBMIT = "after submit"
    """The vendor has answered, and nobody has written it down."""
    AFTER_DISPATCH = "after dispatch"
    AFTER_WAIT = "after wait"
    AFTER_POST_PROCESS = "after post_process"
    AFTER_STORE = "after store"


@dataclass(frozen=True, slots=True)
class Voyage:
    """One carrier of a batch, and its end; None: it lives."""

    ledger_url: str
    payloads: str
    cloud: str
    name: str
    settings: dict[str, Any]
    secrets: dict[str, str]
    batch_id: UUID
    most_carriers: int
    death: Place | None
    after_seconds: float = 0.0
    """How deep inside of the submission."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Mortal:
    """A driver in whose submission the process ends."""

    def __init__(self, driver: Driver, voyage: Voyage) -> None:
        self._driver, self._voyage = driver, voyage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    async def submit(self, executables: Sequence[Executable], shots: int, token: str) -> Ticket:
        death = self._voyage.death
        if death is Place.BEFORE_SUBMIT:
            die()
        if death is Place.INSIDE_SUBMIT:
            # From another thread, so that it strikes whatever this one does then.
            threading.Timer(self._voyage.after_seconds, die).start()
        ticket = await self._driver.submit(executables, shots, token)
        if death in (Place.INSIDE_SUBMIT, Place.AFTER_SUBMIT):
            die()
        return ticket


def carry(voyage: Voyage) -> None:
    """To be called in a forked process, which has one thread yet."""
    prefork(NEEDED)
    with suppress(Unavailable):  # the run fails: the reaper's part comes next
        asyncio.run(_carry(voyage))


async def _carry(voyage: Voyage) -> None:
    driver = DRIVERS[voyage.cloud](voyage.name, voyage.settings, voyage.secrets)
    mortal: Any = Mortal(driver, voyage)
    compilers = ForkedPool(MODULES, size=1)
    payloads = Path(voyage.payloads)
    async with databases.opened(voyage.ledger_url, payloads, pool_size=3) as ledger:
        pipeline = Pipeline(ledger, mortal, compilers)
        attempts = {"max_attempts": voyage.most_carriers}
        pipeline.settings = pipeline.settings.model_copy(update=attempts)
        carrying = await pipeline.begin(voyage.batch_id, uuid4())
        chunk = await pipeline.resume(carrying)
        chunk = chunk if chunk.works else await pipeline.take(carrying)
        if voyage.death is Place.BEFORE_TRANSPILE:
            die()
        for step in STEPS:
            chunk = await run(step, chunk)
            if voyage.death == f"after {step.name.replace('-', '_')}":
                die()
    compilers.close()
    await driver.close()
