"""The carriers of this process that wait for a lane.

Whoever learns that it may be another's turn wakes it. Carriers of other processes, and those that
nobody wakes, ask again by themselves; the more there are, the less often, so that asking never
becomes the load.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Hashable
from contextlib import suppress
from uuid import UUID

ASK_AGAIN_SECONDS = 0.2
FEW = 5

_asleep: defaultdict[str, dict[Hashable, asyncio.Event]] = defaultdict(dict)


async def sleep(qpu: str, batch_id: UUID, at_most_seconds: float | None) -> None:
    """Until woken, or until it is time to ask again."""
    room, woken = _asleep[qpu], asyncio.Event()
    room[batch_id] = woken
    seconds = ASK_AGAIN_SECONDS * max(1.0, len(room) / FEW)
    if at_most_seconds is not None and at_most_seconds > 0:
        seconds = min(seconds, at_most_seconds)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await woken.wait()
    finally:
        room.pop(batch_id, None)


def wake(qpu: str, batch_id: Hashable) -> None:
    """It is this batch's turn."""
    if (woken := _asleep[qpu].get(batch_id)) is not None:
        woken.set()


def wake_one(qpu: str) -> None:
    """A lane is free: whoever asks first learns whose turn it is."""
    for woken in _asleep[qpu].values():
        if not woken.is_set():
            woken.set()
            return
