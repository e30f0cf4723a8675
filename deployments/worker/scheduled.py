"""Which of a pool's scheduled runs a worker submits, and which the ledger decides on first."""

from __future__ import annotations

import time
from collections.abc import Sequence
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
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort

from qpuflow.flows.outbox import QUEUED, is_ledgers

PAGE = 50
ADMITTED_BY = "qpuflow.flows.run_circuits:"
BELIEVED_SECONDS = 30.0
"""How long a deployment is taken to be as it was."""


class ScheduledRuns:
    """The due runs of one work pool, in Prefect's eyes."""

    def __init__(self, client: PrefectClient, pool: str) -> None:
        self._client = client
        self._pool = pool
        self._deployments: dict[UUID, tuple[float, DeploymentResponse]] = {}

    async def due(self) -> list[FlowRun]:
        """Those that somebody started, oldest first, but what waits in the ledger's queue."""
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
            sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC,
            limit=PAGE,
        )
        return [run for run in runs if not is_ledgers(run)]

    async def of(self, run_ids: Sequence[UUID]) -> list[FlowRun]:
        """Runs by id, that have not started."""
        if not run_ids:
            return []
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=list(run_ids)))
        runs = await self._client.read_flow_runs(flow_run_filter=wanted)
        return [run for run in runs if run.state is not None and run.state.is_scheduled()]

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
            found = await self._client.read_deployment(run.deployment_id)
            known = self._deployments[run.deployment_id] = time.monotonic(), found
        return known[1]
