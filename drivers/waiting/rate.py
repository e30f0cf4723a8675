"""How fast a vendor may be asked, over all jobs of a QPU."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class RateLimit:
    """At most `per_second` turns on average, and `burst` at once. Turns are taken in order.

    When the vendor asks for a pause (``Retry-After``), `hold` lets everybody wait, not only the
    one that was told: the limit is the account's.
    """

    def __init__(
        self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1 / per_second
        self._slack = self._interval * (burst - 1)
        self._clock = clock
        self._next = float("-inf")
        """When a turn would be due if no burst were allowed."""

    def reserve(self) -> float:
        """Take a turn; how many seconds to wait for it."""
        now = self._clock()
        due = max(self._next, now - self._slack)
        self._next = due + self._interval
        return max(0.0, due - now)

    def hold(self, seconds: float) -> None:
        """Nobody's next turn comes earlier than this."""
        self._next = max(self._next, self._clock() + seconds)

    async def turn(self) -> None:
        if (seconds := self.reserve()) > 0:
            await asyncio.sleep(seconds)
