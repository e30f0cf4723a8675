"""Asking again and again, politely."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field

from qpuflow.domain.errors import Unavailable
from qpuflow.drivers.base import RemoteState, RemoteStatus
from qpuflow.drivers.waiting.pace import Pace
from qpuflow.drivers.waiting.rate import RateLimit

Ask = Callable[[], Awaitable[RemoteStatus | None]]
"""One question to the vendor. None: the answer makes no sense (yet), ask again.

Raises `Unavailable` when there is no answer, with the vendor's ``Retry-After`` if it gave one.
"""

_log = logging.getLogger("prefect.qpuflow")


@dataclass(frozen=True, slots=True)
class Polling:
    pace: Pace = field(default_factory=Pace)
    rate: RateLimit | None = None
    patience_seconds: float = 900.0
    """How long nobody has to answer before the wait is given up with `Unavailable`. The job is not:
    its carrier waits again later. Longer than any deployment of a web service that works."""


async def polled(ask: Ask, polling: Polling) -> AsyncGenerator[RemoteStatus]:
    """Every answer until a final one."""
    unchanged, last = 0, None
    silent_since: float | None = None
    while True:
        at_least = 0.0
        try:
            status = await _asked(ask, polling.rate)
            silent_since = None
        except Unavailable as error:
            silent_since = time.monotonic() if silent_since is None else silent_since
            if time.monotonic() - silent_since > polling.patience_seconds:
                raise
            status, at_least = None, error.retry_after_seconds or 0.0
            _log.info("No answer yet: %s", error)
        if status is not None:
            yield status
            if status.state.is_final:
                return
            unchanged = 0 if status != last else unchanged
            last = status
        await asyncio.sleep(max(at_least, _pause(polling.pace, unchanged, last)))
        unchanged += 1


async def _asked(ask: Ask, rate: RateLimit | None) -> RemoteStatus | None:
    if rate is None:
        return await ask()
    await rate.turn()
    try:
        return await ask()
    except Unavailable as error:
        if error.retry_after_seconds:
            rate.hold(error.retry_after_seconds)
        raise


def _pause(pace: Pace, unchanged: int, last: RemoteStatus | None) -> float:
    state: RemoteState | None = last and last.state
    return pace.pause_seconds(unchanged, state, random.random())  # noqa: S311  only jitter
