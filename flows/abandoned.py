"""Runs that a worker claimed, and did not live to carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
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
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Crashed, Failed, Scheduled

from qpuflow.flows.holders import is_gone
from qpuflow.flows.outbox import is_ledgers
from qpuflow.ledger.carriers import Carriage

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
    client: PrefectClient,
    runs: list[FlowRun],
    carriers: Sequence[Carriage],
    silence: timedelta,
    failed: Mapping[UUID, str],
) -> None:
    """Schedule those anew whose worker died before they were at work, or after all was done.

    `carriers` are those that live, to be read after `runs`. A run of the ledger's that is none of
    them any more is over. To start one twice does no harm: the ledger knows what is already true.
    But one whose job has `failed` would try it again, which only a person may ask for.
    """
    known = {one.flow_run_id: one for one in carriers}
    for run in runs:
        carriage = known.get(run.id)
        if (carriage is None or carriage.holder is None) and _is_abandoned(run, silence):
            state = _after(run, carriage, failed.get(run.id))
            await client.set_flow_run_state(run.id, state, force=True)


def _after(run: FlowRun, carriage: Carriage | None, failed: str | None) -> State[Any]:
    if carriage is None and failed is not None:
        return Failed(message=f"Its job failed, and then its process died: {failed}")
    if carriage is None and is_ledgers(run):
        return Crashed(message="Taken back: its process died")
    return Scheduled(message="Offered again: the worker that had claimed it died")


def _is_abandoned(run: FlowRun, silence: timedelta) -> bool:
    """A worker signs its claim at once; a claim that is old and not signed is a dead worker's."""
    if run.infrastructure_pid is not None:
        return is_gone(run.infrastructure_pid)
    state = run.state
    return (
        state is not None and state.is_pending() and state.timestamp < datetime.now(UTC) - silence
    )
