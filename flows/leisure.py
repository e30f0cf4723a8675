"""Work for a server that can wait until it has nothing better to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager


class Leisure:
    """After such work the server is left alone for `times` as long as it took, and a busy one so
    for longer; for `least_seconds` at any rate."""

    def __init__(
        self, least_seconds: float, times: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._least_seconds = least_seconds
        self._times = times
        self._clock = clock
        self._until = float("-inf")

    @property
    def is_there(self) -> bool:
        return self._clock() >= self._until

    @contextmanager
    def spent(self) -> Generator[None]:
        """Around the work, also if it fails."""
        began = self._clock()
        try:
            yield
        finally:
            ended = self._clock()
            self._until = ended + max(self._least_seconds, self._times * (ended - began))
