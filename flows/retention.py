"""The scheduled flow that forgets what is older than an installation wants to keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES
from prefect.exceptions import ObjectNotFound

from qpuflow.domain.principal import service
from qpuflow.domain.settings import Settings
from qpuflow.flows.open_ledger import open_ledger
from qpuflow.ledger.retention import forget, forget_telemetry

PAGE = 200
OUR_TAG = "qpuflow"
"""Every deployment in ``prefect.yaml`` bears it; runs of anybody else's are left alone."""


@flow(name="retention", persist_result=False)
async def retention() -> dict[str, int]:
    """Forget finished jobs and Prefect's finished runs after `retention_days`; how many of each."""
    settings = Settings()
    older_than = timedelta(days=settings.retention_days)
    async with open_ledger(settings) as ledger:
        principal = service("retention")
        forgotten = await forget(ledger, principal, older_than)
        kept = timedelta(days=settings.telemetry_days)
        readings = await forget_telemetry(ledger, principal, kept)
    return {
        "jobs": forgotten.jobs,
        "payloads": forgotten.payloads,
        "files": forgotten.files,
        "readings": readings,
        "flow_runs": await forget_runs(datetime.now(UTC) - older_than),
    }


async def forget_runs(before: datetime) -> int:
    """Delete our deployments' runs that ended before then. A run that has not ended stays."""
    chosen = FlowRunFilter(
        end_time=FlowRunFilterEndTime.model_validate({"before_": before}),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(TERMINAL_STATES))),
    )
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[OUR_TAG]))
    total = 0
    async with get_client() as client:
        while runs := await client.read_flow_runs(
            flow_run_filter=chosen, deployment_filter=ours, limit=PAGE
        ):
            for run in runs:
                await _delete(client, run.id)
            total += len(runs)
    return total


async def _delete(client: PrefectClient, run_id: UUID) -> None:
    """With its artifacts, which Prefect would keep. Its task runs and logs go with it."""
    mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    while artifacts := await client.read_artifacts(artifact_filter=mine, limit=PAGE):
        for artifact in artifacts:
            await client.delete_artifact(artifact.id)
    try:
        await client.delete_flow_run(run_id)
    except ObjectNotFound:
        return  # somebody else deleted it
