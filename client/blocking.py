"""Calling the asynchronous client from ordinary code, also where an event loop runs already."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import lru_cache
from typing import TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from qpuflow.client.connection import Connection, connect
from qpuflow.domain.settings import Settings

T = TypeVar("T")

_open = ExitStack()
"""Held for the life of the process; its daemon thread ends with it."""


def call(action: Callable[[Connection], Awaitable[T]]) -> T:
    connection = _connection(Settings())  # pyright: ignore[reportArgumentType]  frozen, so hashable
    return _portal().call(action, connection)


@lru_cache(maxsize=1)
def _portal() -> BlockingPortal:
    """One thread with one event loop for the whole process; a notebook's own loop is busy."""
    return _open.enter_context(start_blocking_portal(name="qpuflow-client"))


@lru_cache(maxsize=4)
def _connection(settings: Settings) -> Connection:
    """Kept open: connecting costs more than most calls."""
    return _open.enter_context(_portal().wrap_async_context_manager(connect(settings)))
