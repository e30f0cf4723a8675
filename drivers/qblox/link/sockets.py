"""REQ and REP sockets of NNG, over ``ipc://`` or mutual TLS.

REQ sends a request again when the far side went away, so a rack may be asked the same thing twice:
it answers by token. PUSH and PULL would lose what was under way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pynng

from qpuflow.domain.errors import InputError, OperatorNeeded, Unavailable
from qpuflow.drivers.qblox.link.certificates import SERVER_NAME, Keys

CONTEXTS = 32
"""Requests that a rack answers at once; most of them wait for news of a job."""
RESEND_MS = 1000
RECONNECT_MS = (50, 1000)
MOST_BYTES = 256 * 2**20


class Asker:
    """A worker's end."""

    def __init__(self, address: str, keys: Keys | None) -> None:
        self._address = address
        self._socket = pynng.Req0(
            tls_config=_tls(address, keys, server=False),
            resend_time=RESEND_MS,
            recv_max_size=MOST_BYTES,
            reconnect_time_min=RECONNECT_MS[0],
            reconnect_time_max=RECONNECT_MS[1],
        )
        self._socket.dial(address, block=False)

    async def ask(self, request: bytes, timeout_seconds: float = 15.0) -> bytes:
        """`Unavailable` where no answer came in time; the request may have arrived all the same."""
        try:
            async with asyncio.timeout(timeout_seconds):
                with self._socket.new_context() as context:
                    await context.asend(request)
                    return await context.arecv()
        except (TimeoutError, pynng.NNGException) as error:
            words = str(error) or f"no answer within {timeout_seconds:g} s"
            raise Unavailable(
                f"The rack at {self._address} does not answer: {words}",
                remedy="Does `qpuflow rack serve` run there, and does each trust the other's key?",
            ) from error

    def close(self) -> None:
        self._socket.close()


async def answer_all(
    address: str, keys: Keys | None, answer: Callable[[bytes], Awaitable[bytes]]
) -> None:
    """Listen until cancelled."""
    with pynng.Rep0(
        tls_config=_tls(address, keys, server=True), recv_max_size=MOST_BYTES
    ) as socket:
        _remove_what_a_killed_one_left(address)
        try:
            socket.listen(address)
        except pynng.NNGException as error:
            raise OperatorNeeded(f"The rack cannot listen at {address}: {error}") from error
        if address.startswith("ipc://"):
            _only_for_us(Path(address.removeprefix("ipc://")))
        async with asyncio.TaskGroup() as group:
            for _ in range(CONTEXTS):
                group.create_task(_answer_one_by_one(socket, answer))


def _remove_what_a_killed_one_left(address: str) -> None:
    """Nobody else listens there: a rack's daemon holds its lock."""
    if address.startswith("ipc://"):
        Path(address.removeprefix("ipc://")).unlink(missing_ok=True)


def _only_for_us(path: Path) -> None:
    path.chmod(0o600)


async def _answer_one_by_one(
    socket: pynng.Rep0, answer: Callable[[bytes], Awaitable[bytes]]
) -> None:
    task = asyncio.current_task()
    assert task is not None
    with socket.new_context() as context:
        # pynng forgets a cancellation that comes together with a message.
        while not task.cancelling():
            request = await context.arecv()
            reply = await answer(request)
            with contextlib.suppress(pynng.NNGException):  # who asked has gone
                await context.asend(reply)


def _tls(address: str, keys: Keys | None, *, server: bool) -> pynng.TLSConfig | None:
    if address.startswith("ipc://"):
        return None
    if not address.startswith("tls+tcp://"):
        raise InputError(
            f"{address} is no address of a rack", remedy="Give ipc://PATH or tls+tcp://HOST:PORT."
        )
    if keys is None:
        raise OperatorNeeded(f"{address} needs keys", remedy="Run `qpuflow rack pair` first.")
    mode = pynng.TLSConfig.MODE_SERVER if server else pynng.TLSConfig.MODE_CLIENT
    return pynng.TLSConfig(
        mode,
        server_name=None if server else SERVER_NAME,
        ca_string=keys.trusted(),
        own_cert_string=keys.certificate,
        own_key_string=keys.key,
        auth_mode=pynng.TLSConfig.AUTH_MODE_REQUIRED,
    )
