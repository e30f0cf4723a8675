"""Runs that a worker claimed, and did not live to carry."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Scheduled

from qpuflow.flows.holders import is_gone

CARRYING = ["run-circuits", "run-batch"]
OUR_TAG = "qpuflow"


async def claimed(client: PrefectClient) -> list[FlowRun]:
    """Runs of our carrying flows that some worker has taken and not finished."""
    return await client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=CARRYING)),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(
                type=FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING])
            )
        ),
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[OUR_TAG])),
    )


async def offer_again(
    client: PrefectClient, runs: list[FlowRun], held: Collection[UUID], silence: timedelta
) -> None:
    """Schedule those anew whose worker died before they were at work, or after all was done.

    `held` are the runs that the ledger knows to carry a batch now; to be read after `runs`.
    To start one twice does no harm: the ledger knows what is already true.
    """
    for run in runs:
        if run.id not in held and _is_abandoned(run, silence):
            again = Scheduled(message="Offered again: the worker that had claimed it died")
            await client.set_flow_run_state(run.id, again, force=True)


def _is_abandoned(run: FlowRun, silence: timedelta) -> bool:
    """A worker signs its claim at once; a claim that is old and not signed is a dead worker's."""
    if run.infrastructure_pid is not None:
        return is_gone(run.infrastructure_pid)
    state = run.state
    return (
        state is not None and state.is_pending() and state.timestamp < datetime.now(UTC) - silence
    )
