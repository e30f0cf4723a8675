"""PostgreSQL's LISTEN and NOTIFY: a word that looking is worth while.

Nothing depends on a word being heard. Whoever waits looks by itself after a while, and everybody
looks after the connection was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from typing import Any

import asyncpg
from sqlalchemy import URL, func, select
from sqlalchemy.ext.asyncio import AsyncSession

RECONNECT_SECONDS = 1.0


class Channel(StrEnum):
    OUTBOX = "qpuflow_outbox"
    """A flow run is to be created. About: the QPU."""
    JOINED = "qpuflow_joined"
    """A job joined a batch that a run carries. About: the batch's id."""
    ENDED = "qpuflow_ended"
    """Jobs have ended. About: their user."""


async def tell(session: AsyncSession, channel: Channel, about: str) -> None:
    """Heard when the transaction commits, by everybody who listens then."""
    await session.execute(select(func.pg_notify(channel.value, about)))


class Ears:
    """One connection that hears for a whole process, opened when somebody first listens."""

    def __init__(self, url: URL) -> None:
        self._url = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._news: dict[tuple[str, str], set[asyncio.Event]] = defaultdict(set)
        self._listening: asyncio.Task[None] | None = None

    @contextmanager
    def listen(self, channel: Channel, about: str) -> Generator[asyncio.Event]:
        """An event that is set whenever there is something to look at; the caller clears it."""
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._stay_connected())
        event = asyncio.Event()
        self._news[channel.value, about].add(event)
        try:
            yield event
        finally:
            self._news[channel.value, about].discard(event)

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening

    async def _stay_connected(self) -> None:
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._hear()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _hear(self) -> None:
        connection: Any = await asyncpg.connect(self._url)
        lost = asyncio.Event()
        connection.add_termination_listener(partial(_set, lost))
        try:
            for channel in Channel:
                await connection.add_listener(channel.value, self._heard)
            self._wake_everybody()
            await lost.wait()
        finally:
            connection.terminate()

    def _heard(self, _connection: Any, _pid: int, channel: str, about: Any) -> None:
        for event in self._news.get((channel, about), ()):
            event.set()

    def _wake_everybody(self) -> None:
        for events in self._news.values():
            for event in events:
                event.set()


def _set(event: asyncio.Event, _: Any) -> None:
    event.set()


async def within(news: asyncio.Event, seconds: float) -> None:
    """Wait for news, but no longer than so."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(news.wait(), seconds)
    news.clear()
