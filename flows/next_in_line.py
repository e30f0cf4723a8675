"""Who starts next by the last look at the queue: the next free seat needs no look of its own.

A look at ten thousand jobs costs PostgreSQL and the engine a twentieth of what a run does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Set
from itertools import islice
from uuid import UUID

from qpuflow.ledger.carriers import Carriage
from qpuflow.ledger.claims import Candidate

BELIEVED_SECONDS = 1.0
"""As long as an engine goes without a look when nobody joins."""
SHARED_SECONDS = 30.0
"""Engines that start runs of one queue look before each start, or would want the same."""


class NextInLine:
    """Those that had no seat at the last look, in its order. Whoever looks clears it before."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._line: Iterator[Candidate] = iter(())
        self._believed_until = self._shared_until = float("-inf")

    def clear(self) -> None:
        self._believed_until = float("-inf")

    def set(self, line: Iterable[Candidate]) -> None:
        self._line = iter(line)
        self._believed_until = self._clock() + BELIEVED_SECONDS

    def mark_shared(self) -> None:
        """One of them was another engine's, or is gone."""
        self.clear()
        self._shared_until = self._clock() + SHARED_SECONDS

    @property
    def is_known(self) -> bool:
        return self._shared_until < self._clock() < self._believed_until

    def take(self, count: int, besides: Set[UUID]) -> list[Carriage]:
        """So many as far as there are, each once; none with a carrier or run of `besides`."""
        waiting = (one.carriage for one in self._line)
        free = (one for one in waiting if besides.isdisjoint({one.id, one.flow_run_id}))
        return list(islice(free, count))
