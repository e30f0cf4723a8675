"""A job of several parts is as far as its parts are."""

from __future__ import annotations

from collections.abc import Sequence

from qpuflow.drivers.base import RemoteState, RemoteStatus

_S = RemoteState
WORST_FIRST = (_S.LOST, _S.FAILED, _S.CANCELLED, _S.COMPLETED)


def combined(parts: Sequence[RemoteStatus]) -> RemoteStatus:
    """Final when every part is; then the worst of them, with its own words."""
    if all(part.state.is_final for part in parts):
        return min(parts, key=lambda part: WORST_FIRST.index(part.state))
    if any(part.state is not _S.QUEUED for part in parts):
        return RemoteStatus(_S.RUNNING, _progress(parts))
    places = [part.queue_position for part in parts if part.queue_position is not None]
    return RemoteStatus(_S.QUEUED, queue_position=max(places, default=None))


def _progress(parts: Sequence[RemoteStatus]) -> str:
    done = sum(part.state.is_final for part in parts)
    return f"{done} of {len(parts)} circuits are done" if len(parts) > 1 else ""
