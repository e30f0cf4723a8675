"""What a rack answers, whatever socket asked, and the one job it runs meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import stamina
from pydantic import ValidationError

from qpuflow.domain.device import Device
from qpuflow.domain.errors import (
    Conflict,
    InputError,
    NotFound,
    OperatorNeeded,
    QpuflowError,
    Refused,
)
from qpuflow.domain.limits import check_limits
from qpuflow.drivers.base import RemoteState
from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.daemon.certificate import CertificateWatch
from qpuflow.drivers.qblox.daemon.journal import PAGE, Entry, Journal, Standing
from qpuflow.drivers.qblox.daemon.lookahead import Lookahead
from qpuflow.drivers.qblox.daemon.running import Running
from qpuflow.drivers.qblox.devices import device_of
from qpuflow.drivers.qblox.engine import Engine
from qpuflow.drivers.qblox.link import messages
from qpuflow.drivers.qblox.link.errors import failure_of
from qpuflow.drivers.qblox.link.messages import VERSION
from qpuflow.drivers.qblox.preparation import Work
from qpuflow.drivers.qblox.rack_file import configuration_of
from qpuflow.drivers.qblox.session import Ran
from qpuflow.drivers.qblox.settings import RackSettings

T = TypeVar("T")
_TOLD_ALWAYS = ("waiting", "busy_fraction", "certificate_days")
"""Of its health, with the telemetry."""
_log = logging.getLogger("qpuflow.rack")


class Rack:
    """One journal, one engine."""

    def __init__(
        self,
        settings: RackSettings,
        configuration: Configuration,
        journal: Journal,
        engine: Engine,
        certificate: CertificateWatch | None = None,
    ) -> None:
        self._settings = settings
        self._take_over(configuration)
        self._journal = journal
        self._lookahead = Lookahead(journal)
        self._engine = engine
        self._certificate = certificate
        self._running: Running | None = None
        self._ended: Running | None = None
        """What has played, and is written while the next one does."""
        self._accepted = asyncio.Event()
        self._news = asyncio.Condition()
        self._started = time.monotonic()
        self._busy_seconds = 0.0
        self._played_seconds = 0.0

    def answer(self, content: bytes) -> bytes | Awaitable[bytes]:
        """A reply to every request, at once where none has to wait; errors travel as what they
        are."""
        try:
            reply = self._reply(content)
        except Exception as error:  # noqa: BLE001  whoever asked is told, whatever it was
            reply = _failure(error)
        return _encoded(reply) if isinstance(reply, messages.Message) else _later(reply)

    def recover(self) -> None:
        """Before anybody is answered: what an earlier daemon ran is over."""
        self._journal.cut_off()
        device, hardware = self._settings.device_file, self._settings.hardware_file
        self._journal.note_device_file(self._configuration, _owner(device))
        self._journal.note_hardware_file(self._configuration, _owner(hardware))

    async def work(self) -> None:
        """Run what waits, one after the other, until cancelled.

        What one gave is written while the next one plays: encoding it and waiting for the disk
        would keep the instruments idle. Two are never unwritten while a third begins: on a full
        disk the next one may still begin, for that takes less room, and none after it.
        """
        while True:
            self._accepted.clear()
            entry = await _written(self._journal.begin_next)
            playing = await self._begin(entry) if entry else None
            await asyncio.sleep(0)  # the instruments' process is told first
            await self._write_ended()
            if playing:
                await self._until_ended(playing)
            elif entry is None:
                await self._accepted.wait()

    @property
    def is_playing(self) -> bool:
        return self._running is not None and not self._running.task.done()

    def stop(self) -> None:
        """End what runs, and its process with it; what waits stays in the journal.

        That is done first: to encode and write what became of the last ones takes time.
        """
        unwritten = [one for one in (self._ended, self._running) if one is not None]
        self._ended = self._running = None
        try:
            for one in unwritten:
                one.task.cancel()
            self._engine.close()
        finally:
            for one in unwritten:
                self._write_last(one)

    def _reply(  # noqa: C901, PLR0911  one a request
        self, content: bytes
    ) -> messages.Message | Awaitable[messages.Message]:
        match _parsed(content).body:
            case messages.Describe():
                chip = self._configuration.device.model_dump(mode="json")
                return messages.Described(device=self._described(), chip=chip)
            case messages.Execute() as request:
                return self._accept(request)
            case messages.Status(token=token, known=known, wait_seconds=seconds, close=close):
                if close:
                    self._journal.close_token(token)
                return self._status(token, known, seconds)
            case messages.Fetch(token=token):
                return self._results(token)
            case messages.Confirm(tokens=tokens, after=after):
                if tokens:
                    self._journal.confirm(tokens)
                return self._kept(after)
            case messages.Cancel(token=token):
                return self._cancel(token)
            case messages.Health():
                return messages.Report(values=self._health())
            case messages.Telemetry():
                return self._telemetry()
            case messages.Reload(who=who):
                return self._reload(who)

    def _described(self) -> Device:
        warning = self._certificate and self._certificate.warning
        return self._device.model_copy(update={"status_reason": warning})

    def _accept(self, request: messages.Execute) -> messages.State:
        check_limits(self._device, programs=len(request.circuits), shots=request.shots)
        content = request.model_dump_json().encode()
        entry = self._journal.accept(
            request.token, request.fencing_token, content, reopen=request.reopen
        )
        self._accepted.set()
        return _state(entry)

    def _status(
        self, token: str, known: RemoteState | None, seconds: float
    ) -> messages.State | Awaitable[messages.State]:
        standing = self._journal.standing(token)
        if seconds and _is_as(standing, known):
            return self._news_of(token, known, seconds)
        return _state(standing)

    async def _news_of(
        self, token: str, known: RemoteState | None, seconds: float
    ) -> messages.State:
        def another() -> bool:
            return not _is_as(self._journal.standing(token), known)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(another)
        return _state(self._journal.standing(token))

    def _results(self, token: str) -> messages.Results:
        entry = self._journal.find(token)
        if entry is None:
            raise NotFound(f"The rack knows of no job {token}")
        if entry.state is not RemoteState.COMPLETED:
            raise Conflict(f"{entry.ticket} is {entry.state}: {entry.message or 'no result'}")
        if entry.results is None:
            raise NotFound(f"The results of {entry.ticket} are no longer kept")
        return messages.Results.model_validate_json(entry.results)

    async def _cancel(self, token: str) -> messages.State:
        """At once: nothing plays any more when it returns."""
        running = self._running
        if running is not None and running.token == token:
            running.task.cancel()
            await asyncio.wait([running.task])
        self._journal.end(token, RemoteState.CANCELLED)
        await self._tell()
        return _state(self._journal.standing(token))

    async def _telemetry(self) -> messages.Report:
        """Whoever reads sensors in the middle of a run would wait for its end."""
        health = self._health()
        told = {name: health[name] for name in _TOLD_ALWAYS}
        known: dict[str, float | str | None] = {
            f"rack_{name}": value for name, value in told.items() if value is not None
        }
        return messages.Report(
            values=known if self._running else known | await self._engine.telemetry()
        )

    def _health(self) -> dict[str, float | str | None]:
        up = time.monotonic() - self._started
        return {
            "version": VERSION,
            "executor": self._settings.executor,
            "running": self._running and self._running.token,
            "waiting": self._journal.waiting(),
            "up_seconds": up,
            "busy_fraction": self._busy_seconds / up if up else 0.0,
            "played_seconds": self._played_seconds,
            "device_file_hash": self._configuration.device_hash,
            "certificate_days": self._certificate and self._certificate.days,
        }

    def _kept(self, after: int) -> messages.Kept:
        page = self._journal.unconfirmed(after=after)
        more = page[-1][0] if len(page) == PAGE else None
        return messages.Kept(tokens=tuple(token for _, token in page), more_after=more)

    def _reload(self, who: str) -> messages.Report:
        """A file that is wrong changes nothing."""
        fresh = configuration_of(self._settings)
        if fresh.hardware_hash != self._configuration.hardware_hash:
            raise InputError(
                "The hardware file has changed, and cables are not moved while a rack runs",
                where=str(self._settings.hardware_file),
                remedy="Restart the rack's daemon.",
            )
        if fresh.device_hash != self._configuration.device_hash:
            self._take_over(fresh)
            self._journal.note_device_file(fresh, who)
        return messages.Report(values={"device_file_hash": fresh.device_hash})

    def _take_over(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._device = device_of(
            self._settings.name,
            configuration.device,
            max_shots=self._settings.max_shots,
            simulated=self._settings.dummy is not None,
        )

    async def _begin(self, entry: Entry) -> Running | None:
        """None where it cannot be read, and has failed."""
        self._engine.configure(self._configuration)
        try:
            work = self._lookahead.work_of(entry)
        except ValueError as error:
            # Accepted by a daemon of another version: whoever waits shall hear of it.
            message = f"It cannot be read: {error}"
            await _written(lambda: self._journal.end(entry.token, RemoteState.FAILED, message))
            return None
        task = asyncio.create_task(self._play(work))
        self._running = Running(entry.token, task)
        return self._running

    async def _play(self, work: Work) -> Ran:
        began = time.monotonic()
        try:
            return await self._engine.execute(work, self._lookahead.upcoming())
        finally:
            self._busy_seconds += time.monotonic() - began

    async def _until_ended(self, running: Running) -> None:
        await asyncio.wait([running.task])
        if self._running is running:  # else it was written when the rack was stopped
            self._running, self._ended = None, running

    async def _write_ended(self) -> None:
        """Whoever waits hears of it then. While there is no room for it, no other one begins."""
        ended = self._ended
        if ended is not None:
            await asyncio.to_thread(ended.conclude)
            await _written(lambda: self._record(ended))
            if self._ended is ended:
                self._ended = None
        await self._tell()

    def _write_last(self, running: Running) -> None:
        try:
            if running.task.done():
                self._record(running)
            else:
                self._journal.end(running.token, RemoteState.FAILED, "The rack was shut down")
        except Exception:  # noqa: BLE001  the others have their last word all the same
            # The next daemon finds it running, and ends it.
            _log.exception("What became of %s is lost", running.token)

    def _record(self, running: Running) -> None:
        """May be repeated: it is made once, and written until there is room."""
        end = running.conclude()
        try:
            if self._journal.end(running.token, end.state, end.message, end.results):
                self._played_seconds += end.played_seconds
        except InputError as error:
            self._journal.end(running.token, RemoteState.FAILED, str(error))

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


async def _written(write: Callable[[], T]) -> T:
    """Once there is room: on a full disk, what is to be written waits in memory."""
    forever = stamina.retry_context(
        on=Refused, attempts=None, timeout=None, wait_initial=0.5, wait_max=15.0
    )
    async for attempt in forever:
        with attempt:
            return write()
    raise AssertionError("it is tried until it succeeds")


async def _later(reply: Awaitable[messages.Message]) -> bytes:
    try:
        return _encoded(await reply)
    except Exception as error:  # noqa: BLE001  as in `answer`
        return _encoded(_failure(error))


def _failure(error: Exception) -> messages.Message:
    if not isinstance(error, QpuflowError):
        _log.error("A request could not be answered", exc_info=error)
    return failure_of(error)


def _encoded(reply: messages.Message) -> bytes:
    return reply.model_dump_json().encode()


def _owner(file: Path) -> str:
    try:
        name = file.owner()
    except KeyError:  # as in a container: nobody has that number
        name = f"uid {file.stat().st_uid}"
    return f"{name}, who owns the file"


def _parsed(content: bytes) -> messages.Envelope:
    try:
        envelope = messages.Envelope.model_validate_json(content)
    except ValidationError as error:
        _require_version(content)
        raise InputError(f"No request to a rack: {error.errors()[0]['msg']}") from error
    if envelope.version != VERSION:
        _require_version(content)
    return envelope


def _require_version(content: bytes) -> None:
    """A body of another version may mean something else here: it is said, and nothing guessed."""
    with contextlib.suppress(ValidationError):
        version = messages.AnyVersion.model_validate_json(content).version
        if version != VERSION:
            raise OperatorNeeded(
                f"The rack speaks version {VERSION} of the link, and was asked in {version}",
                remedy="Install the same qpuflow on the rack's host and on the worker's.",
            )


def _is_as(standing: Standing | None, known: RemoteState | None) -> bool:
    """That state may still become another."""
    return standing is not None and standing.state is known and not standing.state.is_final


def _state(standing: Standing | None) -> messages.State:
    if standing is None:
        return messages.State()
    return messages.State(ticket=standing.ticket, state=standing.state, message=standing.message)
