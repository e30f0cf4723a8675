"""Which of a pool's scheduled runs a worker submits, and which the ledger decides on first."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
    WorkQueueFilter,
    WorkQueueFilterId,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkQueue
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from qpuflow.flows.outbox import QUEUED
from qpuflow.ledger.claims import NOTHING, Held

PAGE = 200
"""Prefect gives no more at once. Those that become jobs just now are among them."""
ADMITTED_BY = "qpuflow.flows.run_circuits:"
QUEUES_BELIEVED_SECONDS = 10.0
BELIEVED_SECONDS = 30.0
"""How long a deployment is taken to be as it was."""


class ScheduledRuns:
    """The due runs of one work pool, in Prefect's eyes."""

    def __init__(self, client: PrefectClient, pool: str) -> None:
        self._client = client
        self._pool = pool
        self._deployments: dict[UUID, tuple[float, DeploymentResponse]] = {}
        self._queues: tuple[float, list[WorkQueue]] | None = None

    async def due(self) -> list[FlowRun]:
        """Those that somebody started or resumed, oldest first; not what waits in our queue.

        Nothing from a work queue that is paused.
        """
        open_ones = [one for one in await self._work_queues() if not one.is_paused]
        runs = await self._client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(
                    type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]),
                    name=FlowRunFilterStateName(not_any_=[QUEUED]),
                ),
                next_scheduled_start_time=FlowRunFilterNextScheduledStartTime.model_validate(
                    {"before_": datetime.now(UTC)}
                ),
            ),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[self._pool])),
            work_queue_filter=_among(open_ones) if await self._paused() else None,
            sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC,
            limit=PAGE,
        )
        return await self._not_held(runs)

    async def of(self, run_ids: Sequence[UUID]) -> list[FlowRun]:
        """Runs by id, that have not started and are not held back."""
        if not run_ids:
            return []
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=list(run_ids)))
        runs = await self._client.read_flow_runs(flow_run_filter=wanted)
        return await self._not_held(
            [run for run in runs if run.state is not None and run.state.is_scheduled()]
        )

    async def suspended(self, run_ids: Collection[UUID]) -> list[UUID]:
        """Those of the runs that somebody has suspended."""
        if not run_ids:
            return []
        wanted = FlowRunFilter(
            id=FlowRunFilterId(any_=list(run_ids)),
            state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Suspended"])),
        )
        return [run.id for run in await self._client.read_flow_runs(flow_run_filter=wanted)]

    async def cancelling(self) -> list[UUID]:
        """Those that somebody has cancelled, and that have not ended."""
        state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CANCELLING]))
        runs = await self._client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=state),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[self._pool])),
            limit=PAGE,
        )
        return [run.id for run in runs]

    async def _not_held(self, runs: Sequence[FlowRun]) -> list[FlowRun]:
        """By what is paused now: whoever pauses a queue expects nothing more to start in it."""
        if not runs:
            return []
        self.look_again()
        paused = {one.id for one in await self._paused()}
        return [run for run in runs if run.work_queue_id not in paused]

    def look_again(self) -> None:
        """A work queue was paused or resumed."""
        self._queues = None

    async def held(self) -> Held:
        """What the ledger would start, and waits in a work queue that somebody paused."""
        if not (paused := await self._paused()):
            return NOTHING
        runs, carrying = await self._queued(paused), f"run-batch/{self._pool}"
        try:
            queue = (await self._client.read_deployment_by_name(carrying)).work_queue_id
        except ObjectNotFound:
            queue = None
        return Held(frozenset(run.id for run in runs), queue in {one.id for one in paused})

    async def _queued(self, paused: Sequence[WorkQueue]) -> list[FlowRun]:
        runs: list[FlowRun] = []
        while len(runs) % PAGE == 0:
            page = await self._client.read_flow_runs(
                flow_run_filter=FlowRunFilter(
                    state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[QUEUED]))
                ),
                work_queue_filter=_among(paused),
                limit=PAGE,
                offset=len(runs),
            )
            if not page:
                break
            runs += page
        return runs

    async def _paused(self) -> list[WorkQueue]:
        return [one for one in await self._work_queues() if one.is_paused]

    async def _work_queues(self) -> list[WorkQueue]:
        now = time.monotonic()
        if self._queues is None or now - self._queues[0] > QUEUES_BELIEVED_SECONDS:
            self._queues = now, await self._client.read_work_queues(work_pool_name=self._pool)
        return self._queues[1]

    async def is_admitted(self, run: FlowRun) -> bool:
        """Whether it becomes a job, which waits for its turn, before it starts."""
        deployment = await self.deployment(run)
        return deployment is not None and (deployment.entrypoint or "").startswith(ADMITTED_BY)

    async def run_as(self, run: FlowRun, default: str | None) -> str | None:
        """On whose behalf it is made, as the run, its deployment or the pool say."""
        deployment = await self.deployment(run)
        own, general = run.job_variables or {}, deployment.job_variables if deployment else {}
        return own.get("run_as") or general.get("run_as") or default

    async def deployment(self, run: FlowRun) -> DeploymentResponse | None:
        if run.deployment_id is None:
            return None
        known = self._deployments.get(run.deployment_id)
        if known is None or time.monotonic() - known[0] > BELIEVED_SECONDS:
            try:
                found = await self._client.read_deployment(run.deployment_id)
            except ObjectNotFound:
                return None  # deleted, and somebody retries one of its runs
            known = self._deployments[run.deployment_id] = time.monotonic(), found
        return known[1]


def _among(queues: Sequence[WorkQueue]) -> WorkQueueFilter:
    return WorkQueueFilter(id=WorkQueueFilterId(any_=[one.id for one in queues]))
