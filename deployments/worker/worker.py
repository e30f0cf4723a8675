"""The worker of one QPU: claims its flow runs and gives them to a warm engine.

A stock process worker starts two interpreters for each run and polls; this one keeps an engine
running, is woken by Prefect's events, and polls slowly only in case one was missed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import Any
from uuid import UUID

import anyio
import anyio.abc
import httpx
import stamina
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
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
from pydantic import Field, ValidationError

from qpuflow.deployments.stack.plan import WORKER_TYPE
from qpuflow.deployments.worker.engines import Engines
from qpuflow.deployments.worker.link import Ended, EngineLink
from qpuflow.deployments.worker.messages import Offer, Order, Verb
from qpuflow.deployments.worker.modules import PRELOAD
from qpuflow.deployments.worker.scheduled import ScheduledRuns
from qpuflow.deployments.worker.silence import SILENCE, is_silence
from qpuflow.domain.errors import QpuflowError
from qpuflow.domain.steps import QpuRules
from qpuflow.drivers.forked import ForkedPool
from qpuflow.flows.holders import is_gone, this_process
from qpuflow.flows.outbox import is_ledgers

EVENTS = "prefect.flow-run."
WAKING = ("Scheduled", "AwaitingRetry", "Resuming", "Late")
ENDING = ("Cancelling", "Cancelled", "Suspended")
QUEUE_EVENTS = "prefect.work-queue."
QUEUE_STATES = ("paused", "ready", "not-ready")
RESUBSCRIBE_SECONDS = 1.0
LOOK_AGAIN_SECONDS = 10.0
"""Events get lost, with a server that dies: who is cancelled or suspended ends all the same."""
ADMIT_SECONDS = 5.0
"""After which an admission that was not heard of is asked for again."""
_when_it_answers = stamina.AsyncRetryingCaller(attempts=None, timeout=60.0, wait_max=2.0).on(
    is_silence
)


class QpuJobConfiguration(BaseJobConfiguration):
    run_as: str | None = Field(default=None)
    seats: int = Field(default=4)
    recycle_after_runs: int | None = Field(default=1000)
    rules: QpuRules = Field(default_factory=QpuRules)


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
    rules: QpuRules = Field(
        default_factory=QpuRules,
        title="Rules",
        description="Attempts, delays and time-outs where this QPU, or this deployment, has "
        "others than the installation.",
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

    async def setup(self) -> None:
        self._wake = asyncio.Event()
        self._stopping = False
        self._cancelled: set[UUID] = set()
        self._next: set[UUID] = set()
        self._admitting: dict[UUID, float] = {}
        self._form, self._complaint = QpuVariables(), ""
        # Made here: a pool that was made before this process was forked has no server in it, and
        # would start an interpreter of its own instead of using what is imported already.
        forks = ForkedPool(PRELOAD, size=64)
        self._engines = Engines(
            lambda: EngineLink(forks, self._work_pool_name, self._began, self._is_next)
        )
        await super().setup()
        self._scheduled = ScheduledRuns(self.client, self._work_pool_name)
        assert self._runs_task_group is not None
        self._runs_task_group.start_soon(self._engines.take_back)
        self._runs_task_group.start_soon(self._listen)
        self._runs_task_group.start_soon(self._look_again)
        self._runs_task_group.start_soon(self._serve)

    async def teardown(self, *exc_info: Any) -> None:
        # The engine first: within a scope that is cancelled nothing can be waited for.
        self._stopping = True
        await self._engines.stop()
        if self._runs_task_group is not None:
            self._runs_task_group.cancel_scope.cancel()
        await super().teardown(*exc_info)

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Claims nothing that could not begin at once: another worker may be quicker.

        Prefect's loop waits longer and longer for a server that does not answer; of anything else
        the worker would end, and with it what others run here.
        """
        try:
            await self._engines.start()
            self._engines.offer(await self._offer())
            return await super().get_and_submit_flow_runs()
        except (httpx.TransportError, httpx.HTTPStatusError):
            raise
        except QpuflowError as error:
            self._logger.warning("Could not look for runs: %s", error)
        except Exception:
            self._logger.exception("Could not look for runs")
        return []

    async def run(
        self,
        flow_run: FlowRun,
        configuration: QpuJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> QpuWorkerResult:
        if task_status is not None:
            # Says whose claim it is, for whoever finds the run after this process died.
            task_status.started(this_process())  # pyright: ignore[reportArgumentType]  kept as text
        order = Order(
            verb=Verb.RUN,
            flow_run_id=flow_run.id,
            run_as=configuration.run_as,
            rules=configuration.rules,
        )
        broke = await self._engines.run(order, configuration.recycle_after_runs)
        await self._see_off(flow_run.id, broke)
        identifier = f"{socket.gethostname()}:{os.getpid()}"
        return QpuWorkerResult(identifier=identifier, status_code=0)

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        """What may start now, as far as there are seats.

        Circuits that somebody wants run become jobs first; the ledger says when.
        """
        next_ones, self._next = list(self._next), set()
        chosen = await self._scheduled.of(next_ones)
        for run_id in {*next_ones} - {run.id for run in chosen}:
            self._engines.gone(run_id)
        free = self._seats() - self._engines.runs - len(self._submitting_flow_run_ids)
        for run in await self._scheduled.due() if self._seats() else []:
            if is_ledgers(run) or await self._scheduled.is_admitted(run):
                await self._admit(run)
            elif len(chosen) < free:
                chosen.append(run)
        return [self._response(run) for run in chosen]

    def _response(self, run: FlowRun) -> WorkerFlowRunResponse:
        assert self._work_pool is not None
        queue = run.work_queue_id or self._work_pool.default_queue_id
        return WorkerFlowRunResponse(
            work_pool_id=self._work_pool.id, work_queue_id=queue, flow_run=run
        )

    async def _admit(self, run: FlowRun) -> None:
        now = time.monotonic()
        self._admitting = {i: at for i, at in self._admitting.items() if now - at < ADMIT_SECONDS}
        if run.id not in self._admitting:
            self._admitting[run.id] = now
            run_as = await self._scheduled.run_as(run, self._variables().run_as)
            await self._engines.admit(run.id, run_as)

    def _is_next(self, flow_run_id: UUID) -> None:
        self._next.add(flow_run_id)
        self._wake.set()

    async def _offer(self) -> Offer:
        held = await self._scheduled.held()
        return Offer(seats=self._seats(), rules=self._variables().rules, held=held)

    def _seats(self) -> int:
        """No seat at all while the pool is paused."""
        pool = self._work_pool
        return self._variables().seats if pool is not None and not pool.is_paused else 0

    def _began(self, flow_run_id: UUID, ended: Ended) -> None:
        """The engine started a run of the ledger's by itself."""
        assert self._runs_task_group is not None
        self._runs_task_group.start_soon(self._attend, flow_run_id, ended)
        self._engines.renew_if_due(self._variables().recycle_after_runs)

    async def _attend(self, flow_run_id: UUID, ended: Ended) -> None:
        try:
            await self.client.update_flow_run(flow_run_id, infrastructure_pid=this_process())
        except Exception as error:  # noqa: BLE001  a claim without a name is taken back a bit later
            self._logger.info("Run %s is not signed: %r", flow_run_id, error)
        await self._see_off(flow_run_id, await ended)

    async def _see_off(self, flow_run_id: UUID, broke: str | None) -> None:
        """Have Prefect and the ledger agree on how a run has left the engine."""
        self._wake.set()
        if flow_run_id not in self._cancelled and broke is None:
            return
        try:
            await _when_it_answers(lambda: self._say_how_it_ended(flow_run_id, broke))
        except SILENCE as error:
            self._logger.warning("How run %s ended is left to the reaper: %r", flow_run_id, error)
        except ObjectNotFound:
            self._logger.info("Flow run %s was deleted while it ran", flow_run_id)
        finally:
            self._cancelled.discard(flow_run_id)
        await self._take_back()

    async def _say_how_it_ended(self, flow_run_id: UUID, broke: str | None) -> None:
        if flow_run_id in self._cancelled:
            state = Cancelled(message="Cancelled; the job that it was at was cancelled on its QPU")
            await self.client.set_flow_run_state(flow_run_id, state, force=True)
        elif broke is not None:
            await self._report(flow_run_id, broke)

    def _variables(self) -> QpuVariables:
        """What the pool's form says, or said before somebody broke it."""
        template = self._work_pool.base_job_template if self._work_pool else {}
        known = template.get("variables", {}).get("properties", {})
        values = {name: one["default"] for name, one in known.items() if "default" in one}
        try:
            self._form = QpuVariables.model_validate(values)
        except ValidationError as error:
            self._complain(f"The form of work pool {self._work_pool_name} is wrong: {error}")
        return self._form

    def _complain(self, words: str) -> None:
        """Once: it is looked at often."""
        if words != self._complaint:
            self._complaint = words
            self._logger.error("%s. What it said before stands.", words)

    async def _report(self, flow_run_id: UUID, broke: str) -> None:
        """Show it as crashed, with the reason, unless Prefect knows better already."""
        state = (await self.client.read_flow_run(flow_run_id)).state
        if state is not None and not state.is_final() and not state.is_paused():
            await self.client.set_flow_run_state(flow_run_id, Crashed(message=broke))

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
        names = [f"{EVENTS}{state}" for state in (*WAKING, *ENDING)]
        names += [f"{QUEUE_EVENTS}{state}" for state in QUEUE_STATES]
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
                    await self._end_suspended()
                    async for event in events:
                        self._notice(event.event, event.resource.id)
            except Exception as error:  # noqa: BLE001  the server may be restarting
                self._logger.info("Not listening to events: %r", error)
            await asyncio.sleep(RESUBSCRIBE_SECONDS)

    def _notice(self, event: str, resource: str) -> None:
        if event.startswith(QUEUE_EVENTS):
            self._scheduled.look_again()
            self._wake.set()
            return
        run_id = UUID(resource.removeprefix(EVENTS))
        match event.removeprefix(EVENTS):
            case "Cancelling":
                self._cancel(run_id)
            case "Cancelled" if self._runs_task_group is not None:
                # A suspended run becomes that at once: nobody else tells the QPU of its jobs.
                self._runs_task_group.start_soon(self._take_back)
            case "Suspended":
                self._engines.suspend(run_id)
            case _:
                self._wake.set()

    async def _look_again(self) -> None:
        """For runs to end of which no event told, or which could not be ended when it did."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            try:
                for run_id in await self._scheduled.cancelling():
                    self._cancel(run_id)
                await self._end_suspended()
            except Exception as error:  # noqa: BLE001  it looks again
                self._logger.info("Could not look for runs to end: %r", error)

    async def _end_suspended(self) -> None:
        for run_id in await self._scheduled.suspended(self._engines.at_work):
            self._engines.suspend(run_id)

    def _cancel(self, run_id: UUID) -> None:
        if not self._is_ended_here(run_id) and self._runs_task_group is not None:
            self._runs_task_group.start_soon(self._cancel_waiting, run_id)

    def _is_ended_here(self, run_id: UUID) -> bool:
        """Whether an engine of this worker has the run, and ends it."""
        if run_id not in self._cancelled and self._engines.cancel(run_id):
            self._cancelled.add(run_id)
        return run_id in self._cancelled

    async def _cancel_waiting(self, run_id: UUID) -> None:
        """A run that has left its seat, or is suspended, has no process that could end it."""
        try:
            run = await self.client.read_flow_run(run_id)
            if self._is_ended_here(run_id):
                return  # it was begun just then
            last = run.infrastructure_pid
            is_anothers = last is not None and last != this_process() and not is_gone(last)
            if run.state is not None and run.state.is_cancelling() and not is_anothers:
                # It may be about to begin, and Prefect would let it, cancelled as it is.
                self._engines.call_off(run_id)
                state = Cancelled(message="Cancelled while it waited")
                await self.client.set_flow_run_state(run_id, state, force=True)
                await self._take_back()
        except Exception as error:  # noqa: BLE001  whoever cancels it again is heard again
            self._logger.warning("Run %s is not cancelled: %r", run_id, error)

    async def _pool_id(self) -> UUID:
        while self._work_pool is None:  # noqa: ASYNC110  Prefect tells of its sync in no other way
            await asyncio.sleep(0.1)
        return self._work_pool.id
