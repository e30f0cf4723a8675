"""What a person sees of a run in the Prefect UI: progress, jobs, circuits, histograms."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Self, cast
from uuid import UUID

from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from qpuflow.domain.job import Job
from qpuflow.domain.pictures import job_markdown
from qpuflow.domain.result import counts_of
from qpuflow.flows.outbox import batch_name, wait_note
from qpuflow.ledger import arbiter, batches
from qpuflow.ledger.dataset_codec import decode
from qpuflow.ledger.signals import within
from qpuflow.tasks.work import Carrying, Chunk, Work

DONE = "Jobs done"
FIRST_NOTE_SECONDS = 3.0
"""After so long without news the run says why it waits, and then as often as below."""
NOTE_SECONDS = 30.0
FIRST_CHUNK_SECONDS = 0.5
"""So long nothing is painted that the first jobs would have to wait for."""
MAX_PICTURES = 20
"""Programs of a run that get a page of their own; the rest stand in the table."""
PICTURES_WHILE_OTHERS_WAIT = 1
"""A page takes Prefect's server as long as five small jobs take the engine."""
ADVANCE_EVERY_SECONDS = 1.0
_log = logging.getLogger("prefect.qpuflow")


class Board:
    """The artifacts of one run, made beside its jobs: `async with Board(carrying) as board`, and
    at its end `await board.finish()`.

    A failure to show something never fails a job, and no job waits for it. Progress is shown of
    what is not done in a moment.
    """

    def __init__(self, carrying: Carrying) -> None:
        self._carrying = carrying
        self._progress: UUID | None = None
        self._rows: list[dict[str, Any]] = []
        self._begun = 0
        self._pictures = 0
        self._shown: tuple[float, str] | None = None
        self._advanced_at = time.monotonic()
        self._first_chunk = asyncio.Event()
        self._orders: asyncio.Queue[Callable[[], Awaitable[Any]] | None] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._painter = asyncio.create_task(self._paint())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._painter.cancel()

    async def finish(self) -> None:
        """Show what is not shown yet, and the table of all jobs."""
        self._first_chunk.set()
        if self._rows:
            self._orders.put_nowait(self._conclude)
            table = partial(acreate_table_artifact, self._rows, description="Jobs of this run")
            self._orders.put_nowait(cast("Callable[[], Awaitable[Any]]", table))
        self._orders.put_nowait(None)
        await self._painter

    def begin(self, jobs: Sequence[Job]) -> None:
        if not self._begun:
            self._orders.put_nowait(partial(self._start, jobs[0]))
        self._begun += len(jobs)

    def add(self, chunk: Chunk) -> None:
        self._first_chunk.set()
        self._rows += [_row(work) for work in chunk.works]
        for work in chunk.works:
            if work.end is not None:
                _log.warning("Job %s %s: %s", work.job.id, work.end.state.value, work.end.reason)
            elif not work.is_left and self._pictures < self._most_pictures():
                self._pictures += len(work.programs)
                self._orders.put_nowait(partial(_picture, work))
        if time.monotonic() - self._advanced_at >= ADVANCE_EVERY_SECONDS:
            self._advanced_at = time.monotonic()
            self._orders.put_nowait(self._advance)

    def _most_pictures(self) -> int:
        return PICTURES_WHILE_OTHERS_WAIT if self._carrying.is_wanted() else MAX_PICTURES

    async def _paint(self) -> None:
        await within(self._first_chunk, FIRST_CHUNK_SECONDS)
        patience = FIRST_NOTE_SECONDS
        while True:
            try:
                order = await asyncio.wait_for(self._orders.get(), patience)
                patience = FIRST_NOTE_SECONDS
            except TimeoutError:
                order, patience = self._explain, NOTE_SECONDS
            if order is None:
                return
            try:
                await order()
            except Exception as error:  # noqa: BLE001  the results are stored; this is decoration
                _log.warning("Not shown in the UI: %s", error)

    async def _start(self, job: Job) -> None:
        async with self._carrying.ledger.begin() as session:
            batch = await batches.find(session, self._carrying.batch_id)
        name = batch_name(job.qpu, job.user, job.id, batch.job_count)
        if name != flow_run.get_name():
            async with get_client() as client:
                await client.update_flow_run(UUID(flow_run.get_id()), name=name)
        if len(self._rows) < self._begun:
            await self._advance()

    async def _advance(self) -> None:
        await self._say(DONE)

    async def _conclude(self) -> None:
        if self._progress is not None:
            await self._advance()

    async def _say(self, note: str) -> None:
        """Only what is new: a request to Prefect's server costs as much as a small job."""
        wanted = self._percent(), note
        if self._progress is None:
            self._progress = await acreate_progress_artifact(wanted[0], description=note)
        elif wanted != self._shown:
            await aupdate_progress_artifact(self._progress, *wanted)
        self._shown = wanted

    def _percent(self) -> float:
        return 100 * len(self._rows) / max(self._begun, len(self._rows), 1)

    async def _explain(self) -> None:
        """Beside the progress: why nothing has happened, and when that is expected to end."""
        if len(self._rows) >= self._begun:
            return
        async with self._carrying.ledger.begin() as session:
            rules = self._carrying.settings.policy
            wait = await arbiter.forecast_lane(session, rules, self._carrying.batch_id)
        await self._say(wait_note(wait) if wait else DONE)


async def _picture(work: Work) -> None:
    markdown = await asyncio.to_thread(_markdown, work)
    await acreate_markdown_artifact(markdown, description=f"Job {work.job.id}")


def _markdown(work: Work) -> str:
    assert work.finished is not None
    datasets = [decode(stored.body) for stored in work.finished.datasets if stored.body]
    return job_markdown(work.job, [one.program for one in work.programs], datasets)


def _row(work: Work) -> dict[str, Any]:
    return {
        "job": str(work.job.id),
        "state": work.end.state.value if work.end else "completed",
        "programs": ", ".join(one.program.name for one in work.programs),
        "shots": work.job.shots,
        "most frequent": _most_frequent(work),
        "reason": work.end.reason if work.end else "",
    }


def _most_frequent(work: Work) -> str:
    if work.outcome is None or work.end is not None:
        return ""
    counts = counts_of(work.outcome.datasets[0])
    return ", ".join(f"{outcome or '-'}: {count}" for outcome, count in list(counts.items())[:3])
