"""Being told by websocket, and asking where the websocket cannot be trusted."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from qpuflow.domain.errors import Unavailable
from qpuflow.drivers.base import RemoteStatus
from qpuflow.drivers.waiting.poll import Ask, Polling, polled

_log = logging.getLogger("prefect.qpuflow")


@dataclass(frozen=True, slots=True)
class Opening:
    """What it takes to open the websocket now. `hello` is sent first.

    `status` is what the vendor said of the job when asked for this; after a final one nothing is
    opened.
    """

    uri: str
    hello: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    status: RemoteStatus | None = None


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
    if how.status is not None:
        yield how.status
        if how.status.state.is_final:
            return
    async with connect(
        how.uri,
        additional_headers=dict(how.headers),
        ping_interval=pushing.ping_seconds,
        ping_timeout=pushing.pong_seconds,
        open_timeout=pushing.pong_seconds,
    ) as socket:
        if how.hello is not None:
            await socket.send(how.hello)
        async with aclosing(_heard_or_asked(socket, read, ask, pushing)) as statuses:
            async for status in statuses:
                yield status


async def _heard_or_asked(
    socket: ClientConnection, read: Read, ask: Ask, pushing: Pushing
) -> AsyncGenerator[RemoteStatus]:
    """Asked at once, and after every silence; meanwhile it listens, for an answer takes its turn
    among those of all jobs. No answer is no reason to leave a socket that lives."""
    heard = asyncio.ensure_future(socket.recv())
    asked: asyncio.Task[RemoteStatus | None] | None = asyncio.create_task(_answer(ask))
    try:
        while True:
            silence = pushing.silence_seconds if asked is None else None
            some = [heard] if asked is None else [heard, asked]
            await asyncio.wait(some, timeout=silence, return_when=asyncio.FIRST_COMPLETED)
            status = None
            if heard.done() and (asked is None or not heard.exception()):
                status, heard = read(heard.result()), asyncio.ensure_future(socket.recv())
            elif asked is None:
                asked = asyncio.create_task(_answer(ask))
            elif heard.done() or asked.done():
                # Of a socket that is closed the answer is the last to be had.
                status, asked = await asked, None
            if status is not None:
                yield status
    finally:
        await _ended(heard, asked)


async def _answer(ask: Ask) -> RemoteStatus | None:
    try:
        return await ask()
    except Unavailable as error:
        _log.info("No answer yet: %s", error)
        return None


async def _ended(*tasks: asyncio.Future[Any] | None) -> None:
    started = [task for task in tasks if task is not None]
    for task in started:
        task.cancel()
    await asyncio.gather(*started, return_exceptions=True)


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
