"""Calling the asynchronous client from ordinary code, also where an event loop runs already."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from qpuflow.client.connection import Connection, connect

T = TypeVar("T")


@lru_cache(maxsize=1)
def _portal() -> BlockingPortal:
    """One thread with one event loop for the whole process; a notebook's own loop is busy."""
    return start_blocking_portal(name="qpuflow-client").__enter__()


def call(action: Callable[[Connection], Awaitable[T]]) -> T:
    return _portal().call(_connected, action)


async def _connected(action: Callable[[Connection], Awaitable[T]]) -> T:
    async with connect() as connection:
        return await action(connection)
