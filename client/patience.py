"""Bearing with a database that is being restarted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from qpuflow.domain.errors import Silent

if TYPE_CHECKING:
    from stamina import BoundAsyncRetryingCaller

T = TypeVar("T")

PATIENCE_SECONDS = 120.0


@cache
def _restarted() -> BoundAsyncRetryingCaller:
    """Made for whoever waits: most commands do not, and stamina takes a while to import."""
    from stamina import AsyncRetryingCaller

    return AsyncRetryingCaller(
        attempts=None, timeout=PATIENCE_SECONDS, wait_initial=0.1, wait_jitter=0.1, wait_max=1.0
    ).on(Silent)


async def patiently(action: Callable[[], Awaitable[T]]) -> T:
    """What the action returns, which may be begun several times. Raises its last `Silent`."""
    return await _restarted()(action)
