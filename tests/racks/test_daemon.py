"""What a rack's daemon does with its jobs, on full disks and when it is stopped, too."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from qpuflow.domain.device import Device
from qpuflow.domain.errors import InputError
from qpuflow.drivers.base import RemoteState
from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.daemon import file_history
from qpuflow.drivers.qblox.daemon import journal as journals
from qpuflow.drivers.qblox.daemon.addresses import addresses_of, noted
from qpuflow.drivers.qblox.daemon.file_history import Kind
from qpuflow.drivers.qblox.daemon.journal import Entry, Journal
from qpuflow.drivers.qblox.daemon.rack import Rack
from qpuflow.drivers.qblox.driver import QbloxDriver
from qpuflow.drivers.qblox.link.messages import Circuit, Envelope, Execute, Health, Request, Results
from qpuflow.drivers.qblox.link.sockets import answer_all
from qpuflow.drivers.qblox.session import Ran
from qpuflow.drivers.qblox.settings import RackSettings
from tests.racks.circuits import compiled, ones
from tests.racks.journals import connection_of, done, kept, pages


class QuickEngine:
    """Instruments that are done at once, before whoever waits for them hears of it."""

    def __init__(self) -> None:
        self.rack: Rack | None = None
        self.stopped, self.ran = asyncio.Event(), asyncio.Event()
        self.dataset = xr.Dataset(attrs={"seen": 1})
        self.is_closed = False

    def configure(self, _: Configuration) -> None: ...
    def close(self) -> None:
        self.is_closed = True

    async def execute(self, *_: object) -> Ran:
        if self.rack is not None:
            asyncio.get_running_loop().call_soon(self._stop, self.rack)
        self.ran.set()
        return Ran((self.dataset,), 0.5)

    def _stop(self, rack: Rack) -> None:
        rack.stop()
        self.stopped.set()


class HeldEngine(QuickEngine):
    """Instruments that play until they are stopped."""

    async def execute(self, *_: object) -> Ran:
        self.ran.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()
        raise AssertionError("nobody ends it but by cancelling")


def a_rack(
    settings: RackSettings,
    configuration: Configuration,
    journal: Journal,
    kind: type[QuickEngine] = QuickEngine,
) -> tuple[Rack, QuickEngine]:
    engine: Any = kind()
    return Rack(settings, configuration, journal, engine), engine


async def answered(rack: Rack, request: Request) -> bytes:
    answer = rack.answer(Envelope(body=request).model_dump_json().encode())
    return answer if isinstance(answer, bytes) else await answer


async def test_a_result_that_is_there_when_the_rack_is_stopped_is_kept(
    settings: RackSettings, configuration: Configuration, device: Device, tmp_path: Path
) -> None:
    with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
        rack, engine = a_rack(settings, configuration, journal)
        engine.rack = rack
        circuit = Circuit.of(compiled(ones(1), device))
        request = Execute(token="one", fencing_token=1, shots=10, circuits=(circuit,))
        assert b"queued" in await answered(rack, request)
        working = asyncio.create_task(rack.work())
        await asyncio.wait_for(engine.stopped.wait(), 30)
        working.cancel()
        entry = journal.find("one")
        assert entry is not None
        assert entry.state is RemoteState.COMPLETED, entry.message
        assert entry.results is not None
        assert Results.model_validate_json(entry.results).seconds == 0.5


async def test_a_result_waits_for_room_on_a_full_disk_and_new_jobs_are_refused(
    settings: RackSettings, configuration: Configuration, device: Device, tmp_path: Path
) -> None:
    with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
        rack, engine = a_rack(settings, configuration, journal)
        engine.dataset = xr.Dataset({"noise": ("x", [0.5] * 50_000)})
        circuit = Circuit.of(compiled(ones(1), device))

        async def ask(token: str) -> str:
            request = Execute(token=token, fencing_token=1, shots=10, circuits=(circuit,))
            return (await answered(rack, request)).decode()

        assert "queued" in await ask("one")
        pages(journal, at_most=pages(journal) + 4)
        working = asyncio.create_task(rack.work())
        await asyncio.wait_for(engine.ran.wait(), 30)
        await asyncio.sleep(0.2)
        entry = journal.find("one")
        assert entry is not None
        assert entry.state is RemoteState.RUNNING
        answers = [await ask(f"more-{number}") for number in range(20)]
        assert "cannot be written: database or disk is full" in answers[-1]
        pages(journal, at_most=10**6)
        async with asyncio.timeout(30):
            while not kept(journal, "one"):  # noqa: ASYNC110  another process's file, as it were
                await asyncio.sleep(0.05)
        working.cancel()
        health = await answered(rack, Health())
        tokens = ["one", *(f"more-{number}" for number in range(20))]
        played = sum(
            (entry := journal.find(token)) is not None and entry.state.is_final for token in tokens
        )
        assert json.loads(health)["values"]["played_seconds"] == 0.5 * played, "each once"


class SecondHeldEngine(QuickEngine):
    """Instruments that are done with the first job at once, and play the second."""

    def __init__(self) -> None:
        super().__init__()
        self.second_plays, self.end_second = asyncio.Event(), asyncio.Event()

    async def execute(self, *_: object) -> Ran:
        if self.ran.is_set():
            self.second_plays.set()
            await self.end_second.wait()
        self.ran.set()
        return Ran((self.dataset,), 0.5)


def with_two_jobs(
    settings: RackSettings, configuration: Configuration, journal: Journal
) -> tuple[Rack, SecondHeldEngine]:
    rack, engine = a_rack(settings, configuration, journal, SecondHeldEngine)
    assert isinstance(engine, SecondHeldEngine)
    for token in ("one", "two"):
        journal.accept(token, 1, empty(token))
    return rack, engine


async def test_what_one_job_gave_is_written_while_the_next_one_plays(
    settings: RackSettings, configuration: Configuration, tmp_path: Path
) -> None:
    with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
        rack, engine = with_two_jobs(settings, configuration, journal)
        assert not kept(journal, "one")
        entry = await ended(rack, journal)
        assert entry.state is RemoteState.COMPLETED
        assert engine.second_plays.is_set()
        assert not engine.end_second.is_set()


async def test_a_stop_keeps_a_result_that_was_not_written_yet_and_ends_what_plays(
    settings: RackSettings, configuration: Configuration, tmp_path: Path
) -> None:
    with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
        rack, engine = with_two_jobs(settings, configuration, journal)
        engine.dataset = xr.Dataset({"noise": ("x", [0.5] * 50_000)})
        pages(journal, at_most=pages(journal) + 1)
        working = asyncio.create_task(rack.work())
        await asyncio.wait_for(engine.second_plays.wait(), 30)
        await asyncio.sleep(0.1)
        assert not kept(journal, "one"), "the disk is full"
        pages(journal, at_most=10**6)
        working.cancel()
        rack.stop()
        first, second = journal.find("one"), journal.find("two")
        assert first is not None
        assert second is not None
        assert (first.state, first.results is not None) == (RemoteState.COMPLETED, True)
        assert (second.state, second.message) == (RemoteState.FAILED, "The rack was shut down")


async def test_what_plays_is_stopped_before_what_has_played_is_written(
    settings: RackSettings,
    configuration: Configuration,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
        rack, engine = a_rack(settings, configuration, journal, SecondHeldEngine)
        was_closed: list[bool] = []

        def broken(_: xr.Dataset) -> bytes:
            was_closed.append(engine.is_closed)
            raise RuntimeError("no bytes of it")

        monkeypatch.setattr("qpuflow.drivers.qblox.daemon.running.encode", broken)
        for token in ("one", "two"):
            journal.accept(token, 1, empty(token))
        with pytest.raises(RuntimeError, match="no bytes of it"):
            await asyncio.wait_for(rack.work(), 30)
        rack.stop()
        assert was_closed == [False, True]
        assert "What became of one is lost" in caplog.text
        second = journal.find("two")
        assert second is not None
        assert (second.state, second.message) == (RemoteState.FAILED, "The rack was shut down")


async def test_an_entry_that_cannot_be_read_waits_for_room_to_say_so(
    settings: RackSettings, configuration: Configuration, tmp_path: Path
) -> None:
    with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
        rack, _ = a_rack(settings, configuration, journal)
        journal.accept("one", 1, b"{}")
        connection = connection_of(journal)
        connection.execute(
            "CREATE TRIGGER no_room BEFORE UPDATE OF results ON jobs "
            "BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
        asyncio.get_running_loop().call_later(0.3, connection.execute, "DROP TRIGGER no_room")
        entry = await ended(rack, journal)
        assert entry.state is RemoteState.FAILED
        assert entry.message.startswith("It cannot be read")


async def ended(rack: Rack, journal: Journal) -> Entry:
    """What became of the one job, once the rack has worked on it."""
    working = asyncio.create_task(rack.work())
    async with asyncio.timeout(60):
        while not (entry := journal.find("one")) or not entry.state.is_final:
            assert not working.done(), working
            await asyncio.sleep(0.05)
    working.cancel()
    return entry


def empty(token: str) -> bytes:
    return Execute(token=token, fencing_token=1, shots=1, circuits=()).model_dump_json().encode()


async def test_a_result_that_is_too_large_to_be_sent_or_kept_fails_and_says_so(
    settings: RackSettings,
    configuration: Configuration,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = xr.Dataset({"noise": ("x", [float(number) for number in range(50_000)])})
    with contextlib.closing(Journal(tmp_path / "link.sqlite")) as journal:
        rack, engine = a_rack(settings, configuration, journal)
        engine.dataset = large
        journal.accept("one", 1, empty("one"))
        with monkeypatch.context() as patch:
            patch.setattr("qpuflow.drivers.qblox.daemon.running.MOST_RESULTS_BYTES", 10_000)
            entry = await ended(rack, journal)
        assert entry.state is RemoteState.FAILED
        assert "the link carries" in entry.message
        assert "fewer shots" in entry.message
    with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
        rack, engine = a_rack(settings, configuration, journal)
        engine.dataset = large
        journal.accept("one", 1, empty("one"))
        connection_of(journal).setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)
        with pytest.raises(InputError, match="too big"):
            journal.accept("two", 1, b"r" * 20_000)
        entry = await ended(rack, journal)
        assert entry.state is RemoteState.FAILED
        assert "more than the rack's journal takes" in entry.message


async def test_a_rack_that_cannot_write_any_more_stops_all_the_same(
    settings: RackSettings,
    configuration: Configuration,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
        rack, engine = a_rack(settings, configuration, journal, HeldEngine)
        journal.accept("one", 1, empty("one"))
        working = asyncio.create_task(rack.work())
        await asyncio.wait_for(engine.ran.wait(), 30)
        connection_of(journal).execute("PRAGMA query_only = ON")
        rack.stop()
        assert engine.is_closed
        await asyncio.wait_for(engine.stopped.wait(), 30)
        working.cancel()
        assert "cannot be written" in caplog.text


def test_an_owner_without_a_name_is_told_by_number(
    settings: RackSettings,
    configuration: Configuration,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nameless(_: Path) -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(Path, "owner", nameless)
    rack, _ = a_rack(settings, configuration, journal)
    rack.recover()
    (version,) = file_history.versions(connection_of(journal), Kind.DEVICE)
    assert version.who == f"uid {settings.device_file.stat().st_uid}, who owns the file"


async def test_more_unconfirmed_results_than_a_page_are_all_told(
    settings: RackSettings,
    configuration: Configuration,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("journal", "rack"):
        monkeypatch.setattr(f"qpuflow.drivers.qblox.daemon.{module}.PAGE", 3)
    assert journals.PAGE == 3
    with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
        tokens = [f"job-{number}" for number in range(8)]
        for token in tokens:
            done(journal, token, 1)
        rack, _ = a_rack(settings, configuration, journal)
        address = f"ipc://{tmp_path}/rack.sock"
        serving = asyncio.create_task(answer_all(address, None, rack.answer))
        driver = QbloxDriver("rack", {"address": address})
        now = time.time()
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: now + 2 * journals.OVERDUE_SECONDS)
            assert await driver.confirm(()) == tokens
            await driver.confirm(tokens[:7])
            assert await driver.confirm(()) == tokens[7:]
        await driver.close()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def test_where_a_daemon_listens_is_known_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert addresses_of(tmp_path) == ()
    with noted(tmp_path, ["ipc://here.sock", "tls+tcp://127.0.0.1:7"]):
        assert addresses_of(tmp_path) == (f"ipc://{tmp_path}/here.sock", "tls+tcp://127.0.0.1:7")
    assert addresses_of(tmp_path) == ()
