"""The flow that carries the jobs that the CLI and the Python client submit."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from functools import partial
from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from qpuflow.domain.job import Job
from qpuflow.flows import artifacts
from qpuflow.flows.carrying import carry, fall_asleep
from qpuflow.flows.pipeline import CHUNK_SIZE, Pipeline
from qpuflow.flows.resources import Resources, resources
from qpuflow.flows.seat import Seat
from qpuflow.ledger import batches
from qpuflow.ledger.live import CarrierLost
from qpuflow.ledger.signals import Channel, within
from qpuflow.tasks.work import Carrying, Chunk, Work

LOOK_AGAIN_SECONDS = 0.25

LEFT = "left at the QPU"


@flow(name="run-batch", persist_result=False)
async def run_batch(batch_id: UUID) -> State[None]:
    """Carry a batch: everything queued in it, and what its user adds meanwhile.

    Safe to start twice and after any crash: the ledger knows what was done, and only one run at
    a time is a batch's carrier.
    """
    async with resources() as shared:
        try:
            outcomes = await carry_batch(
                shared, batch_id, UUID(flow_run.get_id()), shared.settings.linger_seconds
            )
        except CarrierLost as lost:
            return Completed(message=str(lost))
    return Completed(message=_summary(outcomes))


async def carry_batch(
    shared: Resources,
    batch_id: UUID,
    flow_run_id: UUID,
    linger_seconds: float,
    *,
    comes_back: bool = False,
) -> Counter[str]:
    """Run the batch until it is empty and closed, or the seat is another's; how its jobs ended."""
    ledger, seat = shared.ledger, Seat(shared, flow_run_id)
    carried = carry(shared, batch_id, seat, comes_back=comes_back)
    async with carried as carrying, artifacts.Board(carrying) as board:
        with ledger.ears.listen(Channel.JOINED, str(batch_id)) as joined:
            outcomes = await _carry(carrying, seat, board, joined, linger_seconds)
        async with ledger.begin() as session:
            is_empty = await batches.close_if_empty(session, batch_id)
            only_asks = await batches.only_unapproved(session, batch_id)
        if outcomes[LEFT] or (is_empty and only_asks and carrying.may_sleep):
            await fall_asleep(shared, flow_run_id)
        with shared.leaving_the_seat(flow_run_id):  # the QPU has no part in the rest
            await board.finish()
    return outcomes


async def _carry(
    carrying: Carrying,
    seat: Seat,
    board: artifacts.Board,
    joined: asyncio.Event,
    linger_seconds: float,
) -> Counter[str]:
    async with carrying.ledger.begin() as session:
        jobs = await batches.handed_over(session, carrying.batch_id)
    outcomes, idle_since = Counter[str](), time.monotonic()
    async with Pipeline(carrying, partial(_show, board, outcomes)) as pipeline:
        while not seat.is_over(has_worked=bool(outcomes) or pipeline.is_finishing):
            jobs = jobs or await _next(carrying)
            if jobs:
                board.begin(jobs)
                chunk = await pipeline.run(jobs)
                if chunk.is_put_back and seat.is_wanted():
                    break
                are_more = len(jobs) == CHUNK_SIZE or chunk.has_put_back
                jobs, idle_since = [], time.monotonic()
                if are_more:
                    continue
            elif await _is_over(carrying, 0 if seat.is_wanted() else idle_since + linger_seconds):
                break
            await pipeline.finished()
            await within(joined, min(LOOK_AGAIN_SECONDS, linger_seconds))
    return outcomes


async def _next(carrying: Carrying) -> list[Job]:
    # Forgotten in a crash, they are queued as before: `book_slot` finds that.
    principal, batch_id = carrying.principal, carrying.batch_id
    async with carrying.ledger.look(durable=False) as session:
        return await batches.take(session, principal, batch_id, CHUNK_SIZE, carrying.carrier_id)


async def _is_over(carrying: Carrying, end: float) -> bool:
    """Its user said so, or nothing came for a while and nothing did at the last moment either."""
    async with carrying.ledger.begin() as session:
        if time.monotonic() < end:
            return await batches.is_closed(session, carrying.batch_id)
        return await batches.close_if_empty(session, carrying.batch_id)


def _show(board: artifacts.Board, outcomes: Counter[str], chunk: Chunk) -> None:
    chunk = chunk.without_those_put_back()
    outcomes.update(_outcome(work) for work in chunk.works)
    board.add(chunk)


def _outcome(work: Work) -> str:
    if work.is_left:
        return LEFT
    return work.end.state.value if work.end else "completed"


def _summary(outcomes: Counter[str]) -> str:
    if not outcomes:
        return "Nothing was left to do"
    return ", ".join(f"{count} {state}" for state, count in outcomes.most_common())
