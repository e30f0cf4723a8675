"""``qpuflow rack serve``: from the settings to a rack that answers, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from qpuflow.domain.errors import OperatorNeeded
from qpuflow.drivers.qblox.daemon.addresses import noted
from qpuflow.drivers.qblox.daemon.certificate import CertificateWatch
from qpuflow.drivers.qblox.daemon.journal import Journal
from qpuflow.drivers.qblox.daemon.rack import Rack
from qpuflow.drivers.qblox.engine import Engine
from qpuflow.drivers.qblox.link.certificates import Keys
from qpuflow.drivers.qblox.link.sockets import answer_all
from qpuflow.drivers.qblox.rack_file import configuration_of
from qpuflow.drivers.qblox.settings import RackSettings


async def serve(settings: RackSettings) -> None:
    """Returns after SIGTERM or SIGINT, with nothing playing."""
    configuration = configuration_of(settings)
    state = settings.state_directory
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    most = round(settings.keep_gigabytes * 1e9)
    file = state / "journal.sqlite"
    with (
        _the_only_one(state),
        contextlib.closing(Journal(file, most)) as journal,
        noted(state, settings.listen),
    ):
        engine = Engine(settings, configuration, state / "work")
        keys = Keys(settings.keys) if settings.keys else None
        certificate = CertificateWatch(keys) if keys else None
        rack = Rack(settings, configuration, journal, engine, certificate)
        rack.recover()
        parts = asyncio.gather(
            _work(rack, engine),
            *([certificate.follow()] if certificate else []),
            *(answer_all(address, keys, rack.answer) for address in settings.listen),
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, parts.cancel)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await parts
        finally:
            was_playing = rack.is_playing
            rack.stop()
            if was_playing:
                await engine.silence()
                engine.close()


async def _work(rack: Rack, engine: Engine) -> None:
    """It answers while it connects, which takes seconds, and ends if it cannot."""
    await engine.warm()
    await rack.work()


@contextmanager
def _the_only_one(directory: Path) -> Generator[None]:
    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OperatorNeeded(
                f"Another daemon already owns the rack in {directory}",
                remedy="Stop it first; instruments have one owner.",
            ) from error
        yield
