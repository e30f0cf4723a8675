"""The rack's instruments behind an async face, in a process of their own.

Schedulers take seconds to import, name their instruments process-wide and write scratch files to
where they run; and a run can be stopped by ending its process, which nothing inside it can resist.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pickle
import sys
from pathlib import Path

from qpuflow.domain.errors import QpuflowError
from qpuflow.drivers.forked import ForkedPool
from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.preparation import Work
from qpuflow.drivers.qblox.session import Ran, Session
from qpuflow.drivers.qblox.settings import RackSettings

SILENCE_SECONDS = 10.0
"""A cluster takes a few to connect."""
COLLECT_AFTER = 20_000
"""Objects. A run of a thousand shots makes as many, and to look through all that a scheduler keeps
in the middle of it takes as long as the run."""
_log = logging.getLogger(__name__)
_PRELOAD = ("qblox_instruments", "qiskit.qpy", "qpuflow.domain.result")
_SCHEDULERS = {
    "quantify": "qpuflow.drivers.qblox.executors.quantify",
    "qblox": "qpuflow.drivers.qblox.executors.qblox",
}


def preload_of(settings: RackSettings) -> tuple[str, ...]:
    """What the process that executes has imported."""
    simulator = ("qiskit_aer",) if settings.dummy else ()
    return (*_PRELOAD, _SCHEDULERS[settings.executor], *simulator)


class Engine:
    """One job at a time. `directory` is the process's own: two dummies in one would clash."""

    def __init__(
        self, settings: RackSettings, configuration: Configuration, directory: Path
    ) -> None:
        self._settings = settings
        self._configuration = configuration
        self._directory = directory
        self._made_of = _packed(settings, configuration, directory)
        self._pool = ForkedPool(preload_of(settings), size=1)

    async def warm(self) -> None:
        """Connect, or raise why that cannot be done."""
        await self._pool.run(_connect, self._made_of)

    async def execute(self, work: Work, upcoming: Work | None = None) -> Ran:
        """What comes next is prepared while this plays.

        Cancelling it ends the process, and returns when nothing plays any more.
        """
        try:
            return await self._pool.run(_execute, self._made_of, work, upcoming)
        except asyncio.CancelledError:
            await self.silence()
            raise

    async def silence(self) -> None:
        """Sequencers play on without the process that started them: whoever connects stops them."""
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                await self.warm()
        except (QpuflowError, TimeoutError) as error:
            _log.error("Whether the instruments still play is not known: %s", error)

    async def telemetry(self) -> dict[str, float | str | None]:
        """Temperatures of the modules in degrees Celsius; None where a module tells none."""
        return await self._pool.run(_telemetry, self._made_of)

    def configure(self, configuration: Configuration) -> None:
        """Between jobs: a scheduler's device is made once, so its process is another one then."""
        if configuration is not self._configuration:
            self._configuration = configuration
            self._made_of = _packed(self._settings, configuration, self._directory)
            self._pool.close()

    def close(self) -> None:
        self._pool.close()


_session: Session | None = None
"""Of this process, once it has one."""


def _packed(settings: RackSettings, configuration: Configuration, directory: Path) -> bytes:
    """What a session is made of. It travels with each job, and is unpacked by the first."""
    return pickle.dumps((settings, configuration, directory), protocol=5)


def _connect(made_of: bytes) -> None:
    _the_session(made_of)


def _execute(made_of: bytes, work: Work, upcoming: Work | None) -> Ran:
    return _the_session(made_of).execute(work, upcoming)


def _telemetry(made_of: bytes) -> dict[str, float | str | None]:
    return _the_session(made_of).telemetry()


def _the_session(made_of: bytes) -> Session:
    global _session  # noqa: PLW0603  the instruments are the process's own, by their makers' design
    if _session is None:
        settings, configuration, directory = pickle.loads(made_of)  # noqa: S301  our own
        directory.mkdir(parents=True, exist_ok=True)
        os.chdir(directory)
        sys.stdout = sys.stderr  # schedulers print
        _session = Session(settings, configuration)
        gc.set_threshold(COLLECT_AFTER)
        gc.freeze()  # what instruments and schedulers are made of stays
    return _session
