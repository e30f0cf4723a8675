"""REQ and REP sockets of NNG, over ``ipc://`` or mutual TLS.

REQ sends a request again when the far side went away, so a rack may be asked the same thing twice:
it answers by token. PUSH and PULL would lose what was under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime
from pathlib import Path

import pynng

from qpuflow.domain.errors import InputError, OperatorNeeded, Unavailable
from qpuflow.drivers.qblox.link.certificates import (
    SERVER_NAME,
    Keys,
    NobodyTrusted,
    Stamp,
)
from qpuflow.drivers.qblox.link.desk import Answer, Desk
from qpuflow.drivers.qblox.link.expiry import expired

MOST_IDLE = 16
"""Connections that a worker keeps; it has as many as it has open questions."""
RESEND_MS = 7000
"""Longer than a rack keeps a question until it has news: each would come several times. A
connection that breaks is noticed at once, and what was asked on it is asked again then."""
CONNECT_SECONDS = 5.0
"""NNG waits for ever for the other side's part of a TLS handshake, also for one that a rack which
was just starting or ending will never play."""
LOOK_SECONDS = 1.0
"""Between two looks at the keys."""
RECONNECT_MS = (50, 1000)
MOST_BYTES = 256 * 2**20
_log = logging.getLogger("qpuflow.rack")


class Asker:
    """A worker's end. Used from one event loop."""

    def __init__(self, address: str, keys: Keys | None) -> None:
        self._address = address
        self._keys = keys
        self._stamp = keys and keys.stamp
        self._tls = tls_of(address, keys, server=False)
        self._idle: list[_Line] = []
        self._busy: set[_Line] = set()
        self._following: asyncio.Task[None] | None = None
        self._is_closed = False

    async def ask(self, request: bytes, timeout_seconds: float = 15.0) -> bytes:
        """`Unavailable` where no answer came in time, or it is closed meanwhile; the request may
        have arrived all the same."""
        if self._keys is not None and self._following is None and not self._is_closed:
            self._following = asyncio.create_task(self._follow(self._keys))
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        try:
            while not self._is_closed:
                with contextlib.suppress(_Replaced):
                    return await self._ask(request, deadline)
        except (TimeoutError, pynng.NNGException) as error:
            words = self._expired() or str(error) or f"no answer within {timeout_seconds:g} s"
            raise Unavailable(
                f"The rack at {self._address} does not answer: {words}",
                remedy="Does `qpuflow rack serve` run there, and does each trust the other's key?",
            ) from error
        raise Unavailable(f"The connection to the rack at {self._address} was closed")

    def close(self) -> None:
        """Open questions end with `Unavailable`."""
        self._is_closed = True
        if self._following is not None:
            self._following.cancel()
        self._replace_lines()

    def _expired(self) -> str | None:
        if self._keys is None or self._address.startswith("ipc://"):
            return None
        return expired(self._keys, datetime.now(UTC))

    async def _ask(self, request: bytes, deadline: float) -> bytes:
        line = self._idle.pop() if self._idle else _Line(self._address, self._tls)
        self._busy.add(line)
        try:
            reply = await line.ask(request, deadline)
        except BaseException:
            # Its answer may still come, and is nobody's.
            self._busy.discard(line)
            line.close()
            raise
        self._busy.discard(line)
        if len(self._idle) < MOST_IDLE and not (line.is_closed or self._is_closed):
            self._idle.append(line)
        else:
            line.close()
        return reply

    async def _follow(self, keys: Keys) -> None:
        """Other keys are other connections; what waits on the old ones is asked again."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            stamp = keys.stamp
            if stamp == self._stamp:
                continue
            with contextlib.suppress(OperatorNeeded):  # half replaced: the old ones serve
                self._tls = tls_of(self._address, keys, server=False)
                self._stamp = stamp
                self._replace_lines()

    def _replace_lines(self) -> None:
        for line in (*self._idle, *self._busy):
            line.close()
        self._idle.clear()


class _Replaced(Exception):
    """The line was closed while somebody waited for an answer on it, or never was connected."""


class _Line:
    """A connection, for one request after the other.

    It waits for NNG's own descriptor, in the event loop: a callback from NNG's threads, as pynng's
    `arecv` has it, takes longer than the way over the wire.
    """

    def __init__(self, address: str, tls: pynng.TLSConfig | None) -> None:
        self._socket = pynng.Req0(
            tls_config=tls,
            resend_time=RESEND_MS,
            recv_max_size=MOST_BYTES,
            reconnect_time_min=RECONNECT_MS[0],
            reconnect_time_max=RECONNECT_MS[1],
        )
        self._socket.dial(address, block=False)
        self._loop = asyncio.get_running_loop()
        self._descriptor = self._socket.recv_fd
        self._loop.add_reader(self._descriptor, self._answered)
        self._waiting: asyncio.Future[None] | None = None
        self._is_overdue = False
        self.is_closed = False

    async def ask(self, request: bytes, deadline: float) -> bytes:
        """`deadline` by the event loop's clock, after which it is a `TimeoutError`."""
        try:
            self._socket.send(request, block=False)
        except pynng.TryAgain:
            await self._sent(request, deadline)  # it is not connected yet, or not any more
        # Made while the request is on its way: an `asyncio.timeout` around it all takes 8 µs more.
        self._is_overdue = False
        timer = self._loop.call_at(deadline, self._give_up)
        try:
            while not self._is_overdue:
                self._waiting = self._loop.create_future()
                await self._waiting
                with contextlib.suppress(pynng.TryAgain):
                    return self._socket.recv(block=False)
        finally:
            timer.cancel()
        raise TimeoutError

    async def _sent(self, request: bytes, deadline: float) -> None:
        patience = min(deadline, self._loop.time() + CONNECT_SECONDS)
        try:
            async with asyncio.timeout_at(patience):
                await self._socket.asend(request)
        except pynng.Closed as error:
            raise _Replaced from error
        except TimeoutError as error:
            if patience == deadline:
                raise
            raise _Replaced from error

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._loop.remove_reader(self._descriptor)
            self._socket.close()
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_exception(_Replaced())

    def _give_up(self) -> None:
        self._is_overdue = True
        self._answered()

    def _answered(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


async def answer_all(address: str, keys: Keys | None, answer: Answer) -> None:
    """Listen until cancelled."""
    if address.startswith("ipc://"):
        keys = None  # those of the daemon's other addresses
    stamp = keys and keys.stamp
    with pynng.Rep0(
        tls_config=tls_of(address, keys, server=True), recv_max_size=MOST_BYTES
    ) as socket:
        _remove_what_a_killed_one_left(address)
        desk = Desk(socket, answer)
        try:
            listener = socket.listen(address)
        except pynng.NNGException as error:
            raise OperatorNeeded(f"The rack cannot listen at {address}: {error}") from error
        _log.info("Listening at %s", address)
        if address.startswith("ipc://"):
            _only_for_us(Path(address.removeprefix("ipc://")))
        async with asyncio.TaskGroup() as group:
            if keys is not None:
                group.create_task(_follow(socket, listener, address, keys, stamp))
            await desk.serve()


async def _follow(
    socket: pynng.Rep0,
    listener: pynng.Listener | None,
    address: str,
    keys: Keys,
    stamp: Stamp | None,
) -> None:
    """Whenever the keys are others, listen anew with them.

    Who is connected is cut off, and comes back at once if it is still trusted; what it asked
    meanwhile it asks again, and is answered by token.
    """
    told: Stamp | None = None

    def tell(words: str, error: Exception) -> None:
        """Once for these keys: they are looked at every second."""
        nonlocal told
        if told != latest:
            _log.warning("%s %s: %s", words, address, error)
        told = latest

    while True:
        await asyncio.sleep(LOOK_SECONDS)
        latest = keys.stamp
        if latest == stamp and listener is not None:
            continue
        try:
            config = tls_of(address, keys, server=True)
        except NobodyTrusted as error:
            listener, stamp = _shut(listener), latest
            tell("Nobody is answered at", error)
            continue
        except OperatorNeeded as error:
            tell("The old keys serve at", error)
            continue
        listener = _shut(listener)
        try:
            socket.tls_config = config
            listener, stamp = socket.listen(address), latest
        except pynng.NNGException as error:
            tell("Tried again every second: nobody is answered at", error)
        else:
            _log.info("The keys at %s were replaced", address)


def _shut(listener: pynng.Listener | None) -> None:
    if listener is not None:
        listener.close()


def _remove_what_a_killed_one_left(address: str) -> None:
    """Nobody else listens there: a rack's daemon holds its lock."""
    if address.startswith("ipc://"):
        Path(address.removeprefix("ipc://")).unlink(missing_ok=True)


def _only_for_us(path: Path) -> None:
    path.chmod(0o600)


def tls_of(address: str, keys: Keys | None, *, server: bool) -> pynng.TLSConfig | None:
    """Who both ends must be; None where only the file system asks."""
    if address.startswith("ipc://"):
        return None
    if not address.startswith("tls+tcp://"):
        raise InputError(
            f"{address} is no address of a rack", remedy="Give ipc://PATH or tls+tcp://HOST:PORT."
        )
    if keys is None:
        raise OperatorNeeded(f"{address} needs keys", remedy="Run `qpuflow rack pair` first.")
    identity = keys.identity
    mode = pynng.TLSConfig.MODE_SERVER if server else pynng.TLSConfig.MODE_CLIENT
    try:
        return pynng.TLSConfig(
            mode,
            server_name=None if server else SERVER_NAME,
            ca_string=identity.trusted,
            own_cert_string=identity.certificate,
            own_key_string=identity.key,
            auth_mode=pynng.TLSConfig.AUTH_MODE_REQUIRED,
        )
    except pynng.NNGException as error:
        raise OperatorNeeded(
            f"TLS cannot use these keys: {error}",
            where=str(keys.folder),
            remedy="Remove what `qpuflow rack keys` and `qpuflow rack pair` did not make.",
        ) from error
