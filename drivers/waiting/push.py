"""Being told by websocket, and asking where the websocket cannot be trusted."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from qpuflow.domain.errors import Unavailable
from qpuflow.drivers.base import RemoteStatus
from qpuflow.drivers.waiting.poll import Ask, Polling, polled

_log = logging.getLogger("prefect.qpuflow")


@dataclass(frozen=True, slots=True)
class Opening:
    """What it takes to open the websocket now. `hello` is sent first."""

    uri: str
    hello: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


Open = Callable[[], Awaitable[Opening]]
"""Called before every connection, so that each has a token that is still good.

Raises `Unavailable` when there is no websocket to be had now.
"""

Read = Callable[[str | bytes], RemoteStatus | None]
"""A message's status; None where it has none, or makes no sense."""


@dataclass(frozen=True, slots=True)
class Pushing:
    ping_seconds: float = 20.0
    """Proxies and load balancers drop what is silent for a minute; three pings fit into that."""
    pong_seconds: float = 20.0
    """A peer that has not answered a ping for this long is gone."""
    silence_seconds: float = 60.0
    """A socket may live and its sender be dead: after this long without a word we ask once."""
    reconnects: int = 3
    """Connections in a row that end within `silence_seconds` before polling takes over."""
    reconnect_seconds: float = 1.0
    """Pause before the second try in a row, doubled before each further one; in between half and
    one and a half times that, so that a server that comes back is not met by all at once."""
    polling_seconds: float = 300.0
    """How long polling has before the websocket is tried again. Polling works, so no hurry."""


async def pushed(
    opening: Open, read: Read, ask: Ask, pushing: Pushing
) -> AsyncGenerator[RemoteStatus]:
    """Statuses as they are told, until a final one.

    After each connection the vendor is asked once, for what was told meanwhile. Raises
    `Unavailable` when too many connections in a row were short.
    """
    short = 0
    while True:
        began = time.monotonic()
        try:
            async with aclosing(_connected(opening, read, ask, pushing)) as statuses:
                async for status in statuses:
                    yield status
                    if status.state.is_final:
                        return
            reason = "the other side closed it"
        except (OSError, TimeoutError, WebSocketException) as error:
            reason = repr(error)
        short = 0 if time.monotonic() - began > pushing.silence_seconds else short + 1
        if short > pushing.reconnects:
            raise Unavailable(f"The websocket is lost: {reason}")
        _log.info("The websocket is opened again: %s", reason)
        if short > 1:
            await asyncio.sleep(_pause(pushing, short - 2))


def _pause(pushing: Pushing, doublings: int) -> float:
    spread = 0.5 + random.random()  # noqa: S311  only jitter
    return pushing.reconnect_seconds * 2**doublings * spread


async def _connected(
    opening: Open, read: Read, ask: Ask, pushing: Pushing
) -> AsyncGenerator[RemoteStatus]:
    how = await opening()
    async with connect(
        how.uri,
        additional_headers=dict(how.headers),
        ping_interval=pushing.ping_seconds,
        ping_timeout=pushing.pong_seconds,
        open_timeout=pushing.pong_seconds,
    ) as socket:
        if how.hello is not None:
            await socket.send(how.hello)
        if (status := await ask()) is not None:
            yield status
        while True:
            message = await _message(socket, pushing.silence_seconds)
            status = await ask() if message is None else read(message)
            if status is not None:
                yield status


async def _message(socket: ClientConnection, silence_seconds: float) -> str | bytes | None:
    """None after a long silence."""
    try:
        async with asyncio.timeout(silence_seconds):
            return await socket.recv()
    except TimeoutError:
        return None


async def pushed_else_polled(
    opening: Open, read: Read, ask: Ask, pushing: Pushing, polling: Polling
) -> AsyncGenerator[RemoteStatus]:
    """By websocket; while that does not work by polling; and back."""
    while True:
        try:
            async with aclosing(pushed(opening, read, ask, pushing)) as statuses:
                async for status in statuses:
                    yield status
            return
        except Unavailable as error:
            _log.warning("Polling for %g s: %s", pushing.polling_seconds, error)
        until = time.monotonic() + pushing.polling_seconds
        async with aclosing(polled(ask, polling)) as statuses:
            async for status in statuses:
                yield status
                if status.state.is_final:
                    return
                if time.monotonic() > until:
                    break
