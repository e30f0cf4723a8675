"""What became of a job at Quantinuum: told by websocket, asked for where that does not work."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from qpuflow.domain.errors import Unavailable
from qpuflow.drivers.base import RemoteState, RemoteStatus
from qpuflow.drivers.parts import combined
from qpuflow.drivers.quantinuum.api import Api
from qpuflow.drivers.quantinuum.settings import QuantinuumSettings
from qpuflow.drivers.waiting import Opening, Pace, Polling, Pushing, pushed_else_polled

_S = RemoteState
STATES: Mapping[str, RemoteState] = {
    "queued": _S.QUEUED,
    "running": _S.RUNNING,
    "canceling": _S.RUNNING,
    "completed": _S.COMPLETED,
    "failed": _S.FAILED,
    "depleted": _S.FAILED,
    "terminated": _S.FAILED,
    "canceled": _S.CANCELLED,
}


class Watching:
    """Waits of one QPU."""

    def __init__(self, api: Api, settings: QuantinuumSettings) -> None:
        self._api = api
        self._uri = settings.websocket_url
        pace = Pace(first_seconds=settings.poll_seconds)
        self._pushing = Pushing(silence_seconds=settings.silence_seconds)
        self._polling = Polling(pace, patience_seconds=3600.0)

    async def all(self, jobs: Sequence[str]) -> AsyncGenerator[RemoteStatus]:
        """One after the other, as they run there: one socket, however many circuits."""
        known = [RemoteStatus(_S.QUEUED)] * len(jobs)
        for index, job in enumerate(jobs):
            async with aclosing(self._one(job)) as statuses:
                async for status in statuses:
                    known[index] = status
                    yield combined(known)

    def _one(self, job: str) -> AsyncGenerator[RemoteStatus]:
        async def ask() -> RemoteStatus | None:
            return status_of(await self._api.ask(f"job/{job}"))

        async def opening() -> Opening:
            told = await self._api.ask(f"job/{job}", websocket="true")
            status, ticket = status_of(told), told.get("websocket")
            if ticket is None and not (status and status.state.is_final):
                raise Unavailable("Quantinuum offers no websocket for it")
            hello = {"action": "OpenConnection", **(ticket or {}), "partial": False}
            return Opening(self._uri, json.dumps(hello), status=status)

        return pushed_else_polled(opening, _read, ask, self._pushing, self._polling)


def _read(message: str | bytes) -> RemoteStatus | None:
    try:
        return status_of(json.loads(message))
    except (ValueError, AttributeError, TypeError):
        return None


def _ended(job: Mapping[str, Any]) -> RemoteState | None:
    """Of a job in an unknown state: what its result or its end tell, if it has any."""
    if job.get("results"):
        return _S.COMPLETED
    return _S.FAILED if job.get("result-date") else None


def status_of(job: Mapping[str, Any]) -> RemoteStatus | None:
    """None for a word that Quantinuum did not have when this was written, unless it is the last."""
    word = str(job.get("status"))
    state = STATES.get(word) or _ended(job)
    if state is None:
        return None
    if word not in STATES and state is _S.FAILED:
        return RemoteStatus(state, f"Quantinuum says {word!r}, and there is no result")
    error: Any = job.get("error") or {}
    message = error.get("text", str(error)) if isinstance(error, Mapping) else str(error)
    return RemoteStatus(state, message if error else "", job.get("queue-position"))
