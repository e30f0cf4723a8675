"""What is news in a stream of statuses. Clouds repeat themselves, and at times go back."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from qpuflow.drivers.base import RemoteState, RemoteStatus


def rank(state: RemoteState) -> int:
    """States are passed in this order, some of them not at all."""
    if state.is_final:
        return 2
    return int(state is RemoteState.RUNNING)


async def forward(statuses: AsyncGenerator[RemoteStatus]) -> AsyncGenerator[RemoteStatus]:
    """Every status that differs from the last and is no step back; nothing after a final one."""
    last: RemoteStatus | None = None
    async with aclosing(statuses) as source:
        async for status in source:
            if last is not None and (status == last or rank(status.state) < rank(last.state)):
                continue
            yield status
            if status.state.is_final:
                return
            last = status
