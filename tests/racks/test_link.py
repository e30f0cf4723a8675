"""The link under everything that can happen to it: replays, stale leases, kills, strangers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pynng
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from qpuflow.deployments.cli.app import app
from qpuflow.domain.device import Device
from qpuflow.domain.errors import InputError, NotFound, OperatorNeeded, Refused, Unavailable
from qpuflow.drivers.base import RemoteState, Ticket
from qpuflow.drivers.conformance.kit import last_status
from qpuflow.drivers.qblox.daemon.journal import CUT_OFF, KEPT_DAYS, OVERDUE_SECONDS, Journal
from qpuflow.drivers.qblox.driver import QbloxDriver
from qpuflow.drivers.qblox.link.certificates import Keys, make_keys
from qpuflow.drivers.qblox.link.desk import MOST_AT_ONCE
from qpuflow.drivers.qblox.link.errors import StaleLease
from qpuflow.drivers.qblox.link.messages import VERSION, Envelope, Execute, Health
from qpuflow.drivers.qblox.link.sockets import Asker, answer_all
from qpuflow.drivers.qblox.rack_file import SHIPPED
from tests.racks.circuits import bell, compiled, ones


class Daemon:
    """`qpuflow rack serve` in a process of its own, which can be killed."""

    def __init__(self, folder: Path, listen: str | None = None) -> None:
        """`listen`: in place of what its rack.toml says."""
        self.folder = folder
        for name in ("device.yml", "hardware.yml", "rack.toml"):
            (folder / name).write_text((SHIPPED.parent / name).read_text())
        self._options = ["--listen", f"ipc://{listen}"] if listen else []
        self._socket = folder / (listen or "rack.sock")
        self.address = f"ipc://{self._socket}"
        self.log = folder / "rack.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [Path(sys.executable).parent / "qpuflow", "rack", "serve"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--config", self.folder / "rack.toml", *self._options],
                cwd=self.folder,
                stderr=log,
            )
        deadline = time.monotonic() + 120
        while not self._socket.exists():
            assert self._process.poll() is None, "the daemon ended"
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        code = self._process.wait(30)
        self._socket.unlink(missing_ok=True)
        return code

    def executions(self) -> dict[str, int]:
        with contextlib.closing(Journal(self.folder / "state" / "journal.sqlite")) as journal:
            return journal.executions()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("rack"), listen="elsewhere.sock")
    daemon.start()
    yield daemon
    daemon.end(signal.SIGTERM)


async def test_a_rack_that_is_killed_loses_nothing_and_runs_nothing_twice(
    tmp_path: Path, device: Device
) -> None:
    daemon = Daemon(tmp_path)
    daemon.start()
    driver = QbloxDriver("rack", {"address": daemon.address})
    long = compiled(bell(), device)
    running = await driver.submit_fenced([long], 900_000, "running", 1)
    waiting = await driver.submit_fenced([compiled(ones(1), device)], 100, "waiting", 1)
    async for status in driver.watch(running):
        if status.state is RemoteState.RUNNING:
            break
    daemon.end(signal.SIGKILL)
    with pytest.raises(Refused):
        await driver.submit_fenced([long], 10, "while it is down", 1)
    daemon.start()
    status = await last_status(driver, running)
    assert (status.state, status.message) == (RemoteState.FAILED, CUT_OFF)
    assert (await last_status(driver, waiting)).state is RemoteState.COMPLETED
    assert await driver.find("waiting") == waiting
    await driver.close()
    assert daemon.end(signal.SIGTERM) == 0
    assert daemon.executions() == {"running": 1, "waiting": 1}


async def test_only_one_daemon_owns_a_rack(daemon: Daemon) -> None:
    command = [Path(sys.executable).parent / "qpuflow", "rack", "serve"]
    second = await asyncio.to_thread(
        lambda: subprocess.run(
            [*command, "--config", daemon.folder / "rack.toml"],
            capture_output=True,
            text=True,
            check=False,
        )
    )
    assert second.returncode == 4
    assert "Another daemon already owns the rack" in second.stderr
    assert "Listening" not in second.stdout + second.stderr
    assert "Listening at ipc://elsewhere.sock" in daemon.log.read_text()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6), st.booleans()), max_size=40))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_replayed_and_reordered_requests_are_one_job_under_a_lease_that_only_grows(
    tmp_path: Path, requests: list[tuple[int, int, bool]]
) -> None:
    file = tmp_path / "journal.sqlite"
    file.unlink(missing_ok=True)
    for extra in ("-wal", "-shm"):
        Path(f"{file}{extra}").unlink(missing_ok=True)
    journal = Journal(file)
    accepted: dict[str, str] = {}
    highest, closed = 0, set[str]()
    for number, lease, restart in requests:
        token = f"job-{number}"
        if restart:
            journal.close()
            journal = Journal(file)
            journal.cut_off()
        if lease == 6:
            journal.close_token(token)
            closed |= {token} - set(accepted)
            continue
        try:
            entry = journal.accept(token, lease, b"request")
        except StaleLease:
            assert lease < highest
            assert token not in accepted
            continue
        except Refused:
            assert token in closed
            continue
        assert token not in closed
        assert accepted.setdefault(token, entry.ticket) == entry.ticket
        highest = max(highest, lease)
        journal.begin_next()
    assert all(count <= 1 for count in journal.executions().values())
    assert set(journal.executions()) == set(accepted)
    journal.close()


async def echo(request: bytes) -> bytes:
    return request


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


async def test_only_who_is_trusted_is_answered(tmp_path: Path) -> None:
    rack, worker, stranger = (make_keys(tmp_path / name) for name in ("rack", "worker", "eve"))
    with pytest.raises(OperatorNeeded, match="No trusted certificate"):
        rack.trusted()
    rack.trust(worker.certificate)
    worker.trust(rack.certificate)
    stranger.trust(rack.certificate)
    address = f"tls+tcp://127.0.0.1:{free_port()}"
    serving = asyncio.create_task(answer_all(address, rack, echo))
    await asyncio.sleep(0)
    asker = Asker(address, worker)
    assert await asker.ask(b"hello") == b"hello"
    asker.close()
    eve = Asker(address, stranger)
    with pytest.raises(Unavailable, match="does not answer"):
        await eve.ask(b"hello", timeout_seconds=1)
    eve.close()
    fake = make_keys(tmp_path / "fake")
    worker_of_fake = Keys(tmp_path / "worker")
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    fake.trust(worker.certificate)
    impostor = asyncio.create_task(answer_all(address, fake, echo))
    await asyncio.sleep(0)
    asker = Asker(address, worker_of_fake)
    with pytest.raises(Unavailable):
        await asker.ask(b"hello", timeout_seconds=1)
    asker.close()
    impostor.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await impostor
    assert os.stat(tmp_path / "rack" / "key.pem").st_mode & 0o077 == 0


async def test_a_question_that_is_held_is_asked_once_and_again_when_the_line_breaks(
    tmp_path: Path,
) -> None:
    """NNG repeats a request after a while of its own; a rack would hold each of them."""
    seen, hold = list[bytes](), asyncio.Event()

    async def answer(request: bytes) -> bytes:
        seen.append(request)
        if request == b"held":
            await hold.wait()
        return request

    address = f"ipc://{tmp_path}/held.sock"

    async def serving() -> asyncio.Task[None]:
        task = asyncio.create_task(answer_all(address, None, answer))
        await asyncio.sleep(0)
        return task

    first = await serving()
    asker = Asker(address, None)
    held = asyncio.create_task(asker.ask(b"held", timeout_seconds=60))
    await asyncio.sleep(2.5)
    assert await asker.ask(b"quick") == b"quick"
    assert seen.count(b"held") == 1
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    hold.set()
    second = await serving()
    assert await held == b"held"
    assert seen.count(b"held") == 2
    asker.close()
    second.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await second


async def test_open_questions_end_when_their_asker_is_closed(tmp_path: Path) -> None:
    came = asyncio.Event()

    async def answer(request: bytes) -> bytes:
        if request == b"held":
            came.set()
            await asyncio.Event().wait()
        return request

    address = f"ipc://{tmp_path}/closed.sock"
    task = asyncio.create_task(answer_all(address, None, answer))
    await asyncio.sleep(0)
    for where in (address, f"ipc://{tmp_path}/nobody.sock"):
        asker = Asker(where, None)
        held = asyncio.create_task(asker.ask(b"held", timeout_seconds=600))
        if where == address:
            assert await asker.ask(b"quick", timeout_seconds=60) == b"quick"
            await asyncio.wait_for(came.wait(), 60)
        else:
            await asyncio.sleep(0.1)
        asker.close()
        with pytest.raises(Unavailable, match="was closed"):
            await asyncio.wait_for(held, 60)
        with pytest.raises(Unavailable, match="was closed"):
            await asker.ask(b"late")
        assert not getattr(asker, "_idle")  # noqa: B009
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_more_questions_than_there_are_places_are_answered_all(tmp_path: Path) -> None:
    async def later(request: bytes) -> bytes:
        await asyncio.sleep(0.01)
        return request

    def answer(request: bytes) -> bytes | Awaitable[bytes]:
        return request if int(request) % 2 else later(request)

    address = f"ipc://{tmp_path}/many.sock"
    task = asyncio.create_task(answer_all(address, None, answer))
    await asyncio.sleep(0)
    asker = Asker(address, None)
    count = MOST_AT_ONCE + 50
    asked = [str(number).encode() for number in range(count)]
    assert await asyncio.gather(*(asker.ask(one, 60) for one in asked)) == asked
    asker.close()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_peer_of_another_version_is_told_so(daemon: Daemon) -> None:
    asker = Asker(daemon.address, None)
    body = json.loads(Envelope(body=Health()).model_dump_json())
    answer = json.loads(await asker.ask(json.dumps({**body, "version": 9}).encode()))
    assert answer["error"] == "OperatorNeeded"
    assert f"version {VERSION} of the link, and was asked in 9" in answer["what"]
    asker.close()


def command_of(daemon: Daemon, *words: str) -> Result:
    return CliRunner().invoke(
        app, ["rack", words[0], "--config", str(daemon.folder / "rack.toml"), *words[1:]]
    )


def test_a_device_file_is_taken_over_while_it_runs_and_who_did_it_is_known(
    daemon: Daemon,
) -> None:
    file = daemon.folder / "device.yml"
    before = file.read_text()
    try:
        file.write_text(before.replace("amplitude_180: 0.18", "amplitude_180: 1.8"))
        wrong = command_of(daemon, "reload")
        assert isinstance(wrong.exception, InputError)
        assert "full scale" in wrong.exception.what
        assert wrong.exception.where is not None
        assert "device.yml:" in wrong.exception.where
        file.write_text(before.replace("amplitude_180: 0.18", "amplitude_180: 0.17"))
        assert (daemon.folder / "state" / "listens").stat().st_mode & 0o077 == 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("QPUFLOW_USER", "olga")
            assert command_of(daemon, "reload").exit_code == 0
        listed = command_of(daemon, "versions").stdout
        assert f"{file.owner()}, who owns the file" in listed
        assert "olga" in listed
        assert "amplitude_180: 0.17" in command_of(daemon, "versions", "--show", "2").stdout
        assert "amplitude_180: 0.18" in command_of(daemon, "versions", "--show", "1").stdout
        unknown = command_of(daemon, "versions", "--show", "3")
        assert isinstance(unknown.exception, NotFound)
    finally:
        file.write_text(before)
        command_of(daemon, "reload")


async def test_a_stale_holder_is_refused_by_the_rack(daemon: Daemon, device: Device) -> None:
    driver = QbloxDriver("rack", {"address": daemon.address})
    program = compiled(ones(1), device)
    newer = await driver.submit_fenced([program], 10, "newer", 7)
    with pytest.raises(StaleLease, match="Lease 6 is over"):
        await driver.submit_fenced([program], 10, "older", 6)
    assert await driver.find("older") is None
    assert (await last_status(driver, newer)).state is RemoteState.COMPLETED
    unknown = await last_status(driver, Ticket("rack-99", "never seen"))
    assert unknown.state is RemoteState.FAILED
    await driver.close()


def overdue(journal: Journal, seconds: float = -1) -> list[str]:
    return [token for _, token in journal.unconfirmed(seconds)]


async def test_results_stay_until_they_are_confirmed(tmp_path: Path) -> None:
    with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
        for token in ("one", "two", "running"):
            journal.accept(token, 1, b"request")
        for token in ("one", "two"):
            journal.begin_next()
            journal.end(token, RemoteState.COMPLETED, results=b"results")
        journal.begin_next()
        assert overdue(journal, OVERDUE_SECONDS) == [], "there is time yet"
        assert overdue(journal) == ["one", "two"]
        journal.confirm(["one", "running", "unknown"])
        assert overdue(journal) == ["two"]
        one = journal.find("one")
        assert one is not None
        assert one.results == b"results", "a restored ledger may ask again"
        journal.end("running", RemoteState.FAILED, "broke")
        assert overdue(journal) == ["two", "running"]
        later = time.time() + (KEPT_DAYS + 1) * 86400
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", lambda: later)
            journal.confirm([])
            one, two = journal.find("one"), journal.find("two")
            assert one is not None
            assert (one.results, one.request) == (None, b"")
            assert two is not None
            assert two.results == b"results"
            assert overdue(journal, OVERDUE_SECONDS) == ["two", "running"]
        assert journal.accept("one", 1, b"request").state is RemoteState.COMPLETED


async def test_a_request_that_was_late_on_the_wire_is_not_accepted(daemon: Daemon) -> None:
    driver = QbloxDriver("rack", {"address": daemon.address})
    assert await driver.find("late") is None
    late = Execute(token="late", fencing_token=1, shots=1, circuits=())
    with pynng.Req0(recv_timeout=5000) as raw:
        raw.dial(daemon.address, block=True)
        await raw.asend(Envelope(body=late).model_dump_json().encode())
        assert json.loads(await raw.arecv())["error"] == "Refused"
    await driver.close()
