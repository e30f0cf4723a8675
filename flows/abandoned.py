"""Runs that a worker claimed and did not live to carry, and those that ended without Prefect."""

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
    FlowRunFilterStateName,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Completed, Crashed, Failed, Scheduled

from qpuflow.domain.job import JobState
from qpuflow.flows.holders import is_gone
from qpuflow.flows.outbox import QUEUED, is_ledgers, prefect_client
from qpuflow.ledger import forsaken
from qpuflow.ledger.carriers import Carriage
from qpuflow.ledger.database import Ledger

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
    ended: Mapping[UUID, tuple[JobState, str]],
) -> None:
    """Schedule those anew whose worker died before they were at work.

    `carriers` are those that live, to be read after `runs`. A run of the ledger's that is none of
    them any more is over. To start one twice does no harm: the ledger knows what is already true.
    But one whose jobs have `ended` is shown as they are: started again it would try a failed one
    again, which only a person may ask for.
    """
    known = {one.flow_run_id: one for one in carriers}
    for run in runs:
        carriage = known.get(run.id)
        if (carriage is None or carriage.holder is None) and _is_abandoned(run, silence):
            state = _after(run, carriage, ended.get(run.id))
            await client.set_flow_run_state(run.id, state, force=True)


def _after(
    run: FlowRun, carriage: Carriage | None, ended: tuple[JobState, str] | None
) -> State[Any]:
    if carriage is None and ended is not None:
        return _as_its_jobs(*ended)
    if carriage is None and is_ledgers(run):
        return Crashed(message="Taken back: its process died")
    return Scheduled(message="Offered again: the worker that had claimed it died")


def _as_its_jobs(state: JobState, reason: str) -> State[Any]:
    """For a run of which Prefect was not told, or told too late, how it ended."""
    match state:
        case JobState.FAILED:
            return Failed(message=f"Its job failed: {reason}")
        case JobState.CANCELLED:
            return Cancelled(message=f"Its job was cancelled: {reason}")
        case _:
            return Completed(message="Its jobs have ended")


async def end_forgotten(ledger: Ledger, silence_seconds: float) -> None:
    """Runs that are shown to wait, though their jobs have ended and nobody will start them.

    Prefect did not answer when it was to be told, or heard of their waiting when that was over.
    """
    before = datetime.now(UTC) - timedelta(seconds=silence_seconds)
    async with prefect_client() as client:
        waiting = [run for run in await _shown_to_wait(client) if _since(run) < before]
        async with ledger.look() as session:
            ended = await forsaken.ended_in(session, [run.id for run in waiting])
        for run_id, how in ended.items():
            await client.set_flow_run_state(run_id, _as_its_jobs(*how), force=True)


async def _shown_to_wait(client: PrefectClient) -> list[FlowRun]:
    """The oldest, as many as Prefect gives at once."""
    return await client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=CARRYING)),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[QUEUED]))
        ),
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[OUR_TAG])),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
    )


def _since(run: FlowRun) -> datetime:
    return run.state.timestamp if run.state is not None else datetime.now(UTC)


def _is_abandoned(run: FlowRun, silence: timedelta) -> bool:
    """A worker signs its claim at once; a claim that is old and not signed is a dead worker's."""
    if run.infrastructure_pid is not None:
        return is_gone(run.infrastructure_pid)
    state = run.state
    return (
        state is not None and state.is_pending() and state.timestamp < datetime.now(UTC) - silence
    )
