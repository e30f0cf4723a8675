"""The worker of one QPU: claims its flow runs and gives them to a warm engine.

A stock process worker starts two interpreters for each run and polls; this one keeps an engine
running, is woken by Prefect's events, and polls slowly only in case one was missed.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any, ClassVar
from uuid import UUID

import anyio
import anyio.abc
from prefect.client.schemas.objects import FlowRun
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventNameFilter
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed
from prefect.workers.base import (
    BaseJobConfiguration,
    BaseVariables,
    BaseWorker,
    BaseWorkerResult,
)
from pydantic import Field

from qpuflow.deployments.stack.plan import WORKER_TYPE
from qpuflow.deployments.worker.engines import Engines
from qpuflow.deployments.worker.link import EngineLink
from qpuflow.deployments.worker.modules import PRELOAD
from qpuflow.drivers.forked import ForkedPool
from qpuflow.flows.holders import this_process

EVENTS = "prefect.flow-run."
WAKING = ("Scheduled", "AwaitingRetry", "Resuming", "Late")
CANCELLING = "Cancelling"
RESUBSCRIBE_SECONDS = 1.0


class QpuJobConfiguration(BaseJobConfiguration):
    run_as: str | None = Field(default=None)
    seats: int = Field(default=4)
    recycle_after_runs: int | None = Field(default=1000)


class QpuVariables(BaseVariables):
    """What a QPU's work pool, or a deployment in it, may set."""

    run_as: str | None = Field(
        default=None,
        title="Run as",
        description="The user on whose behalf runs are made that name none, as scheduled ones.",
    )
    seats: int = Field(
        default=4,
        title="Seats",
        description="Flow runs at a time: more than lanes, so that neighbours transpile and "
        "post-process while a lane executes.",
    )
    recycle_after_runs: int | None = Field(
        default=1000,
        title="Recycle after runs",
        description="After so many flow runs a new engine takes over and the old one ends what "
        "it has begun. Empty: never.",
    )


class QpuWorkerResult(BaseWorkerResult):
    """How a run left the engine."""


class QpuWorker(BaseWorker[QpuJobConfiguration, QpuVariables, QpuWorkerResult]):
    """Serves one QPU's work pool."""

    type = WORKER_TYPE
    job_configuration = QpuJobConfiguration
    job_configuration_variables = QpuVariables
    _display_name = "QPU"
    _description = "Runs quantum jobs in a warm process beside the QPU's driver."
    _documentation_url = "https://github.com/qpuflow/qpuflow/blob/main/docs/workers.md"

    forks: ClassVar[ForkedPool] = ForkedPool(PRELOAD, size=64)
    """Engines of all workers in this process come from one server that imported once."""

    async def setup(self) -> None:
        self._wake = asyncio.Event()
        self._stopping = False
        self._cancelled: set[UUID] = set()
        self._engines = Engines(
            lambda: EngineLink(self.forks, self._work_pool_name, self._wake.set)
        )
        await super().setup()
        assert self._runs_task_group is not None
        self._runs_task_group.start_soon(self._engines.take_back)
        self._runs_task_group.start_soon(self._listen)
        self._runs_task_group.start_soon(self._serve)

    async def teardown(self, *exc_info: Any) -> None:
        # The engine first: within a scope that is cancelled nothing can be waited for.
        self._stopping = True
        await self._engines.stop()
        if self._runs_task_group is not None:
            self._runs_task_group.cancel_scope.cancel()
        await super().teardown(*exc_info)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: QpuJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> QpuWorkerResult:
        if task_status is not None:
            # Says whose claim it is, for whoever finds the run after this process died.
            task_status.started(this_process())  # pyright: ignore[reportArgumentType]  kept as text
        broke = await self._engines.run(
            flow_run.id, configuration.run_as, configuration.recycle_after_runs
        )
        self._wake.set()
        if flow_run.id in self._cancelled:
            self._cancelled.discard(flow_run.id)
            state = Cancelled(message="Cancelled; the job that it was at was cancelled on its QPU")
            await self.client.set_flow_run_state(flow_run.id, state, force=True)
            await self._take_back()
        elif broke is not None:
            await self._report(flow_run.id, broke)
            await self._take_back()
        identifier = f"{socket.gethostname()}:{os.getpid()}"
        return QpuWorkerResult(identifier=identifier, status_code=0)

    async def _report(self, flow_run_id: UUID, broke: str) -> None:
        """Show it as crashed, with the reason, unless Prefect knows better already."""
        try:
            state = (await self.client.read_flow_run(flow_run_id)).state
            if state is not None and not state.is_final() and not state.is_paused():
                await self.client.set_flow_run_state(flow_run_id, Crashed(message=broke))
        except ObjectNotFound:
            self._logger.info("Flow run %s was deleted while it ran", flow_run_id)

    async def _take_back(self) -> None:
        """At once, unless this worker ends too: then the next one that starts does it."""
        if not self._stopping:
            await self._engines.take_back()

    async def _serve(self) -> None:
        """Look for runs whenever an event, or the end of a run, says that there may be some."""
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.get_and_submit_flow_runs()
            except Exception as error:  # noqa: BLE001  the slow poll tries again, and reports
                self._logger.warning("Could not look for runs: %r", error)

    async def _listen(self) -> None:
        names = [f"{EVENTS}{state}" for state in (*WAKING, CANCELLING)]
        while True:
            try:
                pool = await self._pool_id()
                wanted = EventFilter(
                    event=EventNameFilter(name=names),
                    any_resource=EventAnyResourceFilter(id=[f"prefect.work-pool.{pool}"]),
                )
                async with get_events_subscriber(filter=wanted) as events:
                    # What was scheduled before we listened is there already.
                    self._wake.set()
                    async for event in events:
                        self._notice(event.event, event.resource.id)
            except Exception as error:  # noqa: BLE001  the server may be restarting
                self._logger.info("Not listening to events: %r", error)
            await asyncio.sleep(RESUBSCRIBE_SECONDS)

    def _notice(self, event: str, resource: str) -> None:
        if event != f"{EVENTS}{CANCELLING}":
            self._wake.set()
            return
        run_id = UUID(resource.removeprefix(EVENTS))
        if self._engines.cancel(run_id):
            self._cancelled.add(run_id)

    async def _pool_id(self) -> UUID:
        while self._work_pool is None:  # noqa: ASYNC110  Prefect tells of its sync in no other way
            await asyncio.sleep(0.1)
        return self._work_pool.id
