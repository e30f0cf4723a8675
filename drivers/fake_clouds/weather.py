"""Faults: what may go wrong, and when it does."""

from __future__ import annotations

import random
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum


class Fault(StrEnum):
    SLOW = "slow"
    """The answer takes its time."""
    THROTTLED = "throttled"
    """429 with Retry-After; nothing is done."""
    BROKEN_BEFORE = "broken_before"
    """5xx; nothing is done."""
    BROKEN_AFTER = "broken_after"
    """5xx; it is done."""
    ECHOED = "echoed"
    """5xx with a page that repeats the request, credentials and all; nothing is done."""
    REPLY_LOST = "reply_lost"
    """It is done, and the connection breaks without a word."""
    DELIVERED_TWICE = "delivered_twice"
    """A proxy repeats the request."""
    TRUNCATED = "truncated"
    """The connection breaks in the middle of the answer."""
    OVERSIZED = "oversized"
    """A result that does not end."""
    UNKNOWN_WORD = "unknown_word"
    """A state that nobody has heard of."""
    STEP_BACK = "step_back"
    """The state before the present one is told."""
    TOKEN_EXPIRED = "token_expired"  # noqa: S105  the name of a fault
    """401 or its like: a new token is needed."""
    REFRESH_REFUSED = "refresh_refused"
    """The refresh token is no longer good: a full login is needed."""
    LISTED_LATE = "listed_late"
    """Lists do not show yet what was accepted a moment ago."""
    OFFLINE = "offline"
    """The device goes away for a while, and jobs stay in its queue."""
    SOCKET_DROPPED = "socket_dropped"
    SOCKET_SILENT = "socket_silent"
    """The websocket stays open and says nothing more."""


class Weather:
    """`rates` are probabilities, per request that the fault may strike. Calm by default.

    The same seed gives the same faults for the same requests in the same order. `next` lines up
    faults for one operation, to be met in turn before chance decides; None is a fine day. The
    cloud's clock is `clock_ahead_seconds` ahead of this machine's.
    """

    def __init__(
        self,
        seed: int = 0,
        rates: Mapping[Fault, float] | None = None,
        *,
        slow_seconds: float = 0.2,
        retry_after_seconds: float = 1.0,
        listed_after_seconds: float = 1.0,
        offline_seconds: float = 1.0,
        clock_ahead_seconds: float = 0.0,
    ) -> None:
        self.seed = seed
        self.rates = dict(rates or {})
        self.slow_seconds = slow_seconds
        self.retry_after_seconds = retry_after_seconds
        self.listed_after_seconds = listed_after_seconds
        self.offline_seconds = offline_seconds
        self.clock_ahead_seconds = clock_ahead_seconds
        self._offline_until = float("-inf")
        self.struck: list[tuple[str, Fault]] = []
        self._random = random.Random(seed)  # noqa: S311  weather, no secret
        self._lined_up: defaultdict[str, deque[Fault | None]] = defaultdict(deque)

    def next(self, operation: str, *faults: Fault | None) -> None:
        self._lined_up[operation].extend(faults)

    def strikes(self, operation: str, possible: Iterable[Fault]) -> Fault | None:
        """At most one fault for one request."""
        lined_up = self._lined_up[operation]
        fault = lined_up.popleft() if lined_up else self._drawn(possible)
        if fault is not None:
            self.struck.append((operation, fault))
        if fault is Fault.OFFLINE:
            self._offline_until = time.monotonic() + self.offline_seconds
        return fault

    @property
    def is_offline(self) -> bool:
        return time.monotonic() < self._offline_until

    def now(self) -> datetime:
        """By the cloud's clock, UTC."""
        return datetime.now(UTC) + timedelta(seconds=self.clock_ahead_seconds)

    def _drawn(self, possible: Iterable[Fault]) -> Fault | None:
        chance = self._random.random()
        for fault in possible:
            chance -= self.rates.get(fault, 0.0)
            if chance < 0:
                return fault
        return None
