"""Every non-final job has exactly one live carrier: the flow that sees to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from itertools import chain
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, StateType
from prefect.states import Cancelled, Crashed, Failed
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.job import JobState
from qpuflow.domain.principal import Principal, service
from qpuflow.domain.settings import Settings
from qpuflow.flows import abandoned
from qpuflow.flows.holders import is_gone
from qpuflow.flows.missed import end_missed
from qpuflow.flows.outbox import create_runs
from qpuflow.flows.resources import resources
from qpuflow.ledger import batches, carriers, events, forsaken, jobs
from qpuflow.ledger.carriers import Carriage
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.schema import BatchKind

PAGE = 200
ENDING = (*TERMINAL_STATES, StateType.CANCELLING)
DEAD_LETTER = "DeadLetter"


@flow(name="reap", persist_result=False)
async def reap() -> int:
    """Take back what dead carriers hold, and create the runs that are missing.

    Jobs that nobody started in time end, whether or not a worker serves their QPU. Returns how
    many carriers were replaced.
    """
    async with resources() as shared:
        replaced = await take_back(shared.ledger, shared.settings)
        await end_missed(shared.ledger)
        await abandoned.end_forgotten(shared.ledger, shared.settings.lost_after_seconds)
        await create_runs(shared.ledger)
    return replaced


async def take_back(ledger: Ledger, settings: Settings) -> int:
    """Replace carriers that are dead. The engine of their QPU, or `reap`, creates the runs."""
    principal = service("reaper")
    async with get_client() as client:
        taken = await abandoned.claimed(client)
    async with ledger.begin() as session:
        live = await carriers.live(session)
        silent = await forsaken.silent(session, settings.lost_after_seconds)
        ended = await forsaken.ended_in(session, [run.id for run in taken])
    async with get_client() as client:
        suspects = await _suspects(client, live, silent)
        runs = await _runs(client, suspects)
        replaced = 0
        for carriage in suspects:
            reason = _why_lost(carriage, runs, silent)
            if reason is not None:
                given_up = await _replace(ledger, settings, principal, carriage, reason, runs)
                await _agree(client, carriage, runs, reason, given_up)
                replaced += 1
        silence = timedelta(seconds=settings.lost_after_seconds)
        await abandoned.offer_again(client, taken, live, silence, ended)
    async with ledger.begin() as session:
        for batch_id in await forsaken.orphaned(session, settings.max_attempts):
            await carriers.replace(session, batch_id)
    return replaced


async def _suspects(
    client: PrefectClient, live: Sequence[Carriage], silent: Collection[UUID]
) -> list[Carriage]:
    """Those that have begun, and those of whose runs some have ended or are not there.

    Prefect's server needs seconds to show the runs of ten thousand that wait.
    """
    begun = [one for one in live if one.holder is not None or one.id in silent]
    waiting = [one for one in live if one.holder is None and one.id not in silent]
    pages = [waiting[start : start + PAGE] for start in range(0, len(waiting), PAGE)]
    troubled = [page for page in pages if await _unended(client, page) < len(page)]
    return [*begun, *chain.from_iterable(troubled)]


async def _unended(client: PrefectClient, carriages: Sequence[Carriage]) -> int:
    """How many of their runs are neither over nor about to be."""
    state = FlowRunFilterState(type=FlowRunFilterStateType(not_any_=list(ENDING)))
    wanted = FlowRunFilter(id=_ids(carriages), state=state)
    return await client.count_flow_runs(flow_run_filter=wanted)


async def _runs(client: PrefectClient, carriages: Sequence[Carriage]) -> dict[UUID, FlowRun]:
    found: dict[UUID, FlowRun] = {}
    for start in range(0, len(carriages), PAGE):
        wanted = FlowRunFilter(id=_ids(carriages[start : start + PAGE]))
        found |= {run.id: run for run in await client.read_flow_runs(flow_run_filter=wanted)}
    return found


def _ids(carriages: Sequence[Carriage]) -> FlowRunFilterId:
    return FlowRunFilterId(any_=[one.flow_run_id for one in carriages if one.flow_run_id])


def _why_lost(carriage: Carriage, runs: dict[UUID, FlowRun], silent: set[UUID]) -> str | None:
    run = runs.get(carriage.flow_run_id) if carriage.flow_run_id else None
    if run is None:
        return "its flow run was deleted"
    if run.state is not None and run.state.is_final():
        return f"its flow run ended {run.state.name}: {run.state.message or 'no message'}"
    if carriage.holder is None and run.state_type is StateType.CANCELLING:
        return "its run was cancelled while it waited"
    if carriage.holder is not None and is_gone(carriage.holder):
        return "its process died"
    if carriage.id in silent:
        return "its process fell silent"
    return None


async def _replace(
    ledger: Ledger,
    settings: Settings,
    principal: Principal,
    carriage: Carriage,
    reason: str,
    runs: dict[UUID, FlowRun],
) -> set[UUID]:
    """Returns the jobs that have had their last carrier."""
    cancelled = _is_cancelled(carriage, runs)
    async with ledger.begin() as session:
        if cancelled and await carriers.is_current(session, carriage):
            await _cancel(session, principal, carriage)
        # Whoever cancelled a run is no fault of its jobs.
        max_lost = None if cancelled else settings.max_attempts
        return await carriers.lose(session, principal, carriage, reason, max_lost)


def _is_cancelled(carriage: Carriage, runs: dict[UUID, FlowRun]) -> bool:
    """Also where whoever was to end it died first."""
    run = runs.get(carriage.flow_run_id) if carriage.flow_run_id else None
    return run is not None and run.state_type in (StateType.CANCELLED, StateType.CANCELLING)


async def _cancel(session: AsyncSession, principal: Principal, carriage: Carriage) -> None:
    """Cancelling a run cancels what it was at; the rest of its batch travels on.

    What the QPU may have is cancelled there, by the next carrier.
    """
    current = await _cancelled_with(session, carriage)
    await jobs.request_cancel_all(session, principal, current)
    await events.move(
        session,
        principal,
        current,
        JobState.CANCELLED,
        reason="Its run was cancelled",
        sources=[JobState.QUEUED, JobState.PREPARING, JobState.UNAPPROVED],
    )


async def _cancelled_with(session: AsyncSession, carriage: Carriage) -> list[UUID]:
    """What was begun; and the job for which somebody started the run, begun or not."""
    if carriage.kind is BatchKind.SINGLE:
        return await batches.unfinished(session, carriage.batch_id)
    unapproved = await batches.unapproved(session, carriage.batch_id)
    return [*await batches.begun(session, carriage.batch_id), *unapproved]


async def _agree(
    client: PrefectClient,
    carriage: Carriage,
    runs: dict[UUID, FlowRun],
    reason: str,
    given_up: set[UUID],
) -> None:
    """Prefect shall not show a run as alive that the ledger has given up, nor hide its last."""
    run = runs.get(carriage.flow_run_id) if carriage.flow_run_id else None
    if run is None or run.state is None:
        return
    if given_up:
        names = ", ".join(str(job_id)[:8] for job_id in sorted(given_up))
        message = f"Given up with its last carrier, for {reason}: job {names}"
        await client.set_flow_run_state(
            run.id, Failed(name=DEAD_LETTER, message=message), force=True
        )
    elif not run.state.is_final():
        ended = Cancelled if run.state.is_cancelling() else Crashed
        await client.set_flow_run_state(run.id, ended(message=f"Taken back: {reason}"), force=True)
