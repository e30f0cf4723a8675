"""A job that an engine plays, and what became of it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from qpuflow.drivers.base import RemoteState
from qpuflow.drivers.qblox.link import messages
from qpuflow.drivers.qblox.link.sockets import MOST_BYTES
from qpuflow.drivers.qblox.session import Ran
from qpuflow.ledger.dataset_codec import encode

MOST_RESULTS_BYTES = MOST_BYTES - 1024
"""Of one job, as they are sent: the link's own words come before them."""
_log = logging.getLogger("qpuflow.rack")


@dataclass(slots=True)
class Running:
    token: str
    task: asyncio.Task[Ran]
    end: _End | None = None

    def conclude(self) -> _End:
        """Once the task is done. Results are up to 256 MB: the first time takes a while."""
        if self.end is None:
            self.end = _end_of(self.task)
            if self.end.state is RemoteState.FAILED:
                _log.warning("%s failed: %s", self.token, self.end.message)
        return self.end


@dataclass(frozen=True, slots=True)
class _End:
    """What became of work that is done, as it is written."""

    state: RemoteState
    message: str = ""
    results: bytes | None = None
    played_seconds: float = 0.0


def _end_of(task: asyncio.Task[Ran]) -> _End:
    if task.cancelled():
        return _End(RemoteState.CANCELLED)
    if error := task.exception():
        return _End(RemoteState.FAILED, str(error) or repr(error))
    ran = task.result()
    datasets = tuple(encode(dataset) for dataset in ran.datasets)
    results = messages.Results(datasets=datasets, seconds=ran.seconds)
    content = results.model_dump_json().encode()
    if len(content) > MOST_RESULTS_BYTES:
        return _End(RemoteState.FAILED, _too_large(len(content)))
    return _End(RemoteState.COMPLETED, results=content, played_seconds=ran.seconds)


def _too_large(size: int) -> str:
    return (
        f"Its results are {size / 1e6:,.0f} MB as they are sent, and the link carries "
        f"{MOST_RESULTS_BYTES / 1e6:,.0f} MB of a job. Ask for fewer shots or points, or average."
    )
