"""For how long a carrier may be sure that nobody has taken its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

UNHEARD = "The ledger has not heard of this carrier for too long: another may be in its place"


class Pulse:
    """Until `certain_seconds` after a heartbeat was sent no other carrier begins.

    Times are the event loop's, which go on while the process is stopped.
    """

    def __init__(self, certain_seconds: float) -> None:
        self._certain_seconds = certain_seconds
        self._until = asyncio.get_running_loop().time() + certain_seconds
        self._limits = set[asyncio.Timeout]()

    def beaten(self, sent_at: float) -> None:
        """The ledger has heard the heartbeat that was sent then."""
        self._until = sent_at + self._certain_seconds
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(self._until)

    @asynccontextmanager
    async def certain(self) -> AsyncGenerator[None]:
        """The block runs while nobody can have replaced us, and ends in `TimeoutError` when
        somebody may have. Heartbeats prolong it."""
        if asyncio.get_running_loop().time() >= self._until:
            raise TimeoutError(UNHEARD)
        async with asyncio.timeout_at(self._until) as limit:
            self._limits.add(limit)
            try:
                yield
            finally:
                self._limits.discard(limit)
