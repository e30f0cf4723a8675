"""Keys of a link that is in use are replaced, and nobody waits, is lost, or is trusted too long."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qpuflow.deployments.cli.app import app
from qpuflow.domain.errors import InputError, OperatorNeeded, Unavailable
from qpuflow.drivers.qblox.link.certificates import Keys, fingerprint, make_keys
from qpuflow.drivers.qblox.link.sockets import LOOK_SECONDS, Asker, answer_all
from tests.racks.test_link import free_port


class Paired:
    """A rack's and a worker's keys, each trusting the other's, and an address between them."""

    def __init__(self, folder: Path) -> None:
        self.rack, self.worker = make_keys(folder / "rack"), make_keys(folder / "worker")
        self.rack.trust(self.worker.certificate)
        self.worker.trust(self.rack.certificate)
        self.address = f"tls+tcp://127.0.0.1:{free_port()}"


@pytest.fixture
def paired(tmp_path: Path) -> Paired:
    return Paired(tmp_path)


@asynccontextmanager
async def answering(
    paired: Paired, answer: Callable[[bytes], Awaitable[bytes]]
) -> AsyncGenerator[Asker]:
    serving = asyncio.create_task(answer_all(paired.address, paired.rack, answer))
    await asyncio.sleep(0)
    asker = Asker(paired.address, paired.worker)
    try:
        yield asker
    finally:
        asker.close()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


async def until_refused(asker: Asker) -> None:
    """Raises `TimeoutError` if it goes on being answered."""
    async with asyncio.timeout(60):
        with contextlib.suppress(Unavailable):
            while True:
                await asker.ask(b"still there?", timeout_seconds=2)
                await asyncio.sleep(0.05)


def renewed(side: Keys, other: Keys) -> str:
    """As an operator does it; returns the fingerprint of the old key."""
    old = side.fingerprint
    other.trust(side.renew().certificate)
    side.rotate()
    other_knows = other.trusted()
    assert side.certificate in other_knows
    return old


async def test_both_keys_are_replaced_while_requests_go_on_and_one_waits(paired: Paired) -> None:
    seen, released = Counter[bytes](), asyncio.Event()

    async def answer(request: bytes) -> bytes:
        seen[request] += 1
        if request == b"long":
            await released.wait()
        return request

    async with answering(paired, answer) as asker:
        assert await asker.ask(b"before") == b"before"
        waiting = asyncio.create_task(asker.ask(b"long", timeout_seconds=120))
        done, asked, slowest = asyncio.Event(), 0, 0.0
        loop = asyncio.get_running_loop()

        async def keep_asking() -> None:
            nonlocal asked, slowest
            while not done.is_set():
                began, request = loop.time(), f"request {asked}".encode()
                assert await asker.ask(request, timeout_seconds=30) == request
                slowest = max(slowest, loop.time() - began)
                asked += 1
                await asyncio.sleep(0.01)

        asking = asyncio.create_task(keep_asking())
        old_rack = renewed(paired.rack, paired.worker)
        await asyncio.sleep(2 * LOOK_SECONDS)
        old_worker = renewed(paired.worker, paired.rack)
        await asyncio.sleep(2 * LOOK_SECONDS)
        paired.worker.distrust(old_rack)
        paired.rack.distrust(old_worker)
        await asyncio.sleep(2 * LOOK_SECONDS)
        before = asked
        async with asyncio.timeout(60):
            while asked < before + 20:
                assert not asking.done(), asking
                await asyncio.sleep(0.05)
        done.set()
        await asking
        released.set()
        assert await waiting == b"long"
        assert {f"request {number}".encode() for number in range(asked)} <= set(seen)
        assert slowest < 10, "the link was away"


async def test_a_socket_of_this_host_stays_when_keys_are_replaced(
    paired: Paired, tmp_path: Path
) -> None:
    """A daemon that listens there and by TLS has keys."""

    async def answer(request: bytes) -> bytes:
        return request

    paired.address = f"ipc://{tmp_path / 'rack.sock'}"
    async with answering(paired, answer) as asker:
        assert await asker.ask(b"before") == b"before"
        renewed(paired.worker, paired.rack)
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert await asker.ask(b"after") == b"after"


async def test_who_is_no_longer_trusted_is_cut_off_at_once(paired: Paired) -> None:
    async def answer(request: bytes) -> bytes:
        return request

    async with answering(paired, answer) as asker:
        assert await asker.ask(b"hello") == b"hello"
        other = make_keys(paired.rack.folder.parent / "other")
        paired.rack.trust(other.certificate)
        paired.rack.distrust(paired.worker.fingerprint)
        await until_refused(asker)
        paired.rack.distrust(other.fingerprint)
        paired.rack.trust(paired.worker.certificate)
        assert await asker.ask(b"again", timeout_seconds=60) == b"again"
        paired.rack.distrust(paired.worker.fingerprint)
        await until_refused(asker)


async def test_an_address_that_somebody_else_has_meanwhile_is_told_and_had_again(
    paired: Paired, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(request: bytes) -> bytes:
        return request

    async def until_told(words: str) -> None:
        async with asyncio.timeout(60):
            while not any(words in one.message for one in caplog.records):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    caplog.set_level("INFO", "qpuflow.rack")
    async with answering(paired, answer) as asker:
        paired.rack.distrust(paired.worker.fingerprint)
        await until_told("Nobody is answered at")
        port = int(paired.address.rpartition(":")[2])
        other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
        paired.rack.trust(paired.worker.certificate)
        await until_told("Tried again every second")
        other.close()
        await other.wait_closed()
        assert await asker.ask(b"again", timeout_seconds=60) == b"again"
        complaints = [one for one in caplog.records if "every second" in one.message]
        assert len(complaints) == 1, "not at every look"


async def test_a_handshake_that_nobody_answers_is_begun_again(paired: Paired) -> None:
    """As by a rack that was killed just as somebody connected."""
    accepted = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await asyncio.sleep(60)
        writer.close()

    port = int(paired.address.rpartition(":")[2])
    rack = await asyncio.start_server(silent, "127.0.0.1", port)
    asker = Asker(paired.address, paired.worker)
    asked = asyncio.create_task(asker.ask(b"hello", timeout_seconds=60))
    await accepted.wait()
    rack.close()

    async def answer(request: bytes) -> bytes:
        return request

    async with answering(paired, answer):
        assert await asked == b"hello"
    asker.close()


BROKEN: dict[str, Callable[[Path], object]] = {
    "cut off": lambda file: file.write_text(file.read_text()[:100]),
    "no text": lambda file: file.write_bytes(b"\xff\xfe"),
    "vanished": lambda file: (file.unlink(), file.symlink_to("nothing")),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("name", ["key.pem", "certificate.pem", "trusted/other.pem"])
def test_a_file_that_is_no_key_is_told_with_its_place(
    paired: Paired, name: str, broken: Callable[[Path], object]
) -> None:
    file = paired.rack.folder / name
    if not file.exists():
        file.write_text(paired.worker.certificate)
    broken(file)
    with pytest.raises(OperatorNeeded, match=str(paired.rack.folder)) as caught:
        _ = paired.rack.identity
    assert file.name in caught.value.what
    assert caught.value.remedy


async def test_both_sides_go_on_with_their_old_keys_while_a_file_is_broken(
    paired: Paired, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(request: bytes) -> bytes:
        return request

    def told() -> int:
        return sum("The old keys serve" in one.message for one in caplog.records)

    caplog.set_level("INFO", "qpuflow.rack")
    async with answering(paired, answer) as asker:
        assert await asker.ask(b"before", timeout_seconds=60) == b"before"
        broken = [side.folder / "trusted" / "broken.pem" for side in (paired.rack, paired.worker)]
        for file in broken:
            file.write_text("-----BEGIN CERTIFICATE-----")
        async with asyncio.timeout(60):
            while not told():
                assert await asker.ask(b"still", timeout_seconds=60) == b"still"
                await asyncio.sleep(0.05)
        await asyncio.sleep(2.5 * LOOK_SECONDS)
        assert told() == 1, "not at every look"
        paired.rack.trust(other := make_keys(paired.rack.folder / "other").certificate)
        paired.rack.distrust(fingerprint(other))
        for file in broken:
            file.unlink()
        old = renewed(paired.worker, paired.rack)
        paired.rack.distrust(old)
        assert await asker.ask(b"after", timeout_seconds=60) == b"after"
        old = renewed(paired.rack, paired.worker)
        paired.worker.distrust(old)
        assert await asker.ask(b"at last", timeout_seconds=60) == b"at last"


def test_a_rotation_that_was_cut_off_is_completed(paired: Paired) -> None:
    coming = paired.rack.renew().fingerprint
    assert paired.rack.renew().fingerprint == coming, "others may trust it already"
    next_folder = paired.rack.folder / "next"
    (next_folder / "key.pem").replace(paired.rack.folder / "key.pem")
    with pytest.raises(OperatorNeeded, match="not that of the certificate"):
        _ = paired.rack.identity
    paired.rack.rotate()
    assert paired.rack.identity.certificate == paired.rack.certificate
    assert paired.rack.fingerprint == coming
    with pytest.raises(InputError, match="no next key"):
        paired.rack.rotate()
    assert (paired.rack.folder / "key.pem").stat().st_mode & 0o077 == 0


def test_the_commands_do_the_same(tmp_path: Path) -> None:
    def run(*words: object) -> str:
        result = CliRunner().invoke(app, ["rack", *map(str, words)])
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output.split()[-1]

    rack, worker = tmp_path / "rack", tmp_path / "worker"
    old = run("keys", rack)
    run("keys", worker)
    run("pair", worker, "--certificate", rack / "certificate.pem", "--fingerprint", old)
    new = run("keys", rack, "--renew")
    assert new != old
    assert run("keys", rack) == old, "nothing has changed yet"
    run("pair", worker, "--certificate", rack / "next" / "certificate.pem", "--fingerprint", new)
    assert run("rotate", rack) == new
    run("unpair", worker, "--fingerprint", old)
    assert Keys(worker).trusted() == Keys(rack).certificate
