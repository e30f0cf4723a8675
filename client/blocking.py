"""Calling the asynchronous client from ordinary code, also where an event loop runs already."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from typing import TypeVar

from qpuflow.client.connection import Connection, connect
from qpuflow.domain.settings import Settings

T = TypeVar("T")

_open: list[AbstractAsyncContextManager[Connection]] = []
"""Held, since a context that is collected as garbage closes its connection."""


def call(action: Callable[[Connection], Awaitable[T]]) -> T:
    return block_on(action(connection()))


def connection() -> Connection:
    """That of the settings as they are now; its methods are for `block_on`."""
    return _connection(Settings())  # pyright: ignore[reportArgumentType]  frozen, so hashable


@lru_cache(maxsize=4)
def _connection(settings: Settings) -> Connection:
    """Kept open until the process ends: connecting costs more than most calls."""
    opened = connect(settings)
    _open.append(opened)
    return block_on(opened.__aenter__())


def block_on(work: Awaitable[T]) -> T:
    """The outcome of work that is done on the client's own loop."""

    async def awaited() -> T:
        return await work

    return asyncio.run_coroutine_threadsafe(awaited(), _loop()).result()


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    """One for the process, in a thread of its own: a notebook's own loop is busy.

    The thread is a daemon. Any other, an executor's or a portal's, would be waited for when the
    interpreter exits, for ever.
    """
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="qpuflow-client", daemon=True).start()
    return loop
