"""Starting the flow runs that the ledger puts first, as far as there are seats."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import Pending

from qpuflow.domain.errors import QpuflowError
from qpuflow.flows.leisure import Leisure
from qpuflow.flows.outbox import create_run, prefect_client, queued
from qpuflow.flows.resources import Resources
from qpuflow.ledger import claims
from qpuflow.ledger.carriers import Carriage
from qpuflow.ledger.claims import NOTHING, Candidate, Held, Queue
from qpuflow.ledger.schema import BatchKind

URGENT_SEATS = 2
"""Beside the others: a booker is let in however many wait."""
SHOWN_AT_ONCE, SHOW_EVERY_SECONDS = 3, 1.0
"""Runs that are created only so that people see them wait. Each costs Prefect's server as much as
a small job does, and one state more than a run that is created when it starts."""
LEFT_ALONE = 10
"""So many times as long as it took for them, a server is left alone with that: a busy one longer.
"""
REFUSED_SECONDS = 5.0
"""So long a run is left alone that Prefect did not let us start."""
_log = logging.getLogger("prefect.qpuflow.engine")


@dataclass(frozen=True, slots=True)
class Taken:
    """Runs to start now: those that the ledger created, claimed; and those of people."""

    own: list[FlowRun] = field(default_factory=list[FlowRun])
    others: list[UUID] = field(default_factory=list[UUID])


class Claims:
    """What one engine starts next."""

    def __init__(self, shared: Resources, qpu: str) -> None:
        self._shared = shared
        self._qpu = qpu
        self._refused: dict[UUID, float] = {}
        """Carriers and runs, and until when each is left alone."""
        self._leisure = Leisure(SHOW_EVERY_SECONDS, LEFT_ALONE)

    async def take(self, free: int, at_work: Collection[UUID], held: Held = NOTHING) -> Taken:
        """As many as are free, and a booker's beside. `at_work` are the runs that have a seat."""
        waiting = await self._waiting(replace(held, runs=held.runs | frozenset(at_work)))
        chosen, left = seated(waiting.candidates, free)
        unseated = [left, *islice(waiting, len(waiting.seated))] if left is not None else []
        self._shared.crowded = bool(unseated)
        self._shared.outranked = outranked(unseated, waiting.seated)
        if not (unseated or chosen):
            return Taken()
        taken = Taken()
        try:
            async with prefect_client() as client:
                for one in chosen:
                    if (run_id := _of_people(one.carriage)) is not None:
                        taken.others.append(run_id)
                    elif (run := await self._claim(client, one.carriage)) is not None:
                        taken.own.append(run)
                if unseated:
                    await self._show(client, chain(unseated, waiting))
        except QpuflowError as error:
            if not (taken.own or taken.others):
                raise
            # What is claimed is nobody else's any more.
            _log.warning("Not all that could start was started: %s", error)
        return taken

    async def _waiting(self, held: Held) -> Queue:
        """What is left alone is so in the ledger already: it hides nothing of its user's."""
        ledger, settings = self._shared.ledger, self._shared.settings
        self._refused = {c: until for c, until in self._refused.items() if until > time.monotonic()}
        held = replace(held, runs=held.runs | self._refused.keys())
        async with ledger.begin() as session:
            return await claims.next_carriers(
                *(session, self._qpu, settings.policy, held),
                silence_seconds=settings.lost_after_seconds,
            )

    def refuse(self, run_or_carrier: UUID) -> None:
        """A run that could not be started, or created, is left alone for a while."""
        self._refused[run_or_carrier] = time.monotonic() + REFUSED_SECONDS

    def is_refused(self, run_or_carrier: UUID) -> bool:
        return run_or_carrier in self._refused

    async def _claim(self, client: PrefectClient, carriage: Carriage) -> FlowRun | None:
        """None when the run is another's, cancelled or deleted."""
        if carriage.flow_run_id is None:
            run = await create_run(self._shared.ledger, client, carriage, Pending())
            if run is not None and run.state is not None and run.state.is_pending():
                return run
        elif await _is_accepted(client, carriage.flow_run_id):
            return await client.read_flow_run(carriage.flow_run_id)
        self.refuse(carriage.flow_run_id or carriage.id)
        return None

    async def _show(self, client: PrefectClient, others: Iterable[Candidate]) -> None:
        if not self._leisure.is_there:
            return
        unseen = (one.carriage for one in others if one.carriage.flow_run_id is None)
        with self._leisure.spent():
            for carriage in islice(unseen, SHOWN_AT_ONCE):
                await create_run(self._shared.ledger, client, carriage, queued())


def seated(waiting: Iterator[Candidate], free: int) -> tuple[list[Candidate], Candidate | None]:
    """Who gets a seat, and the first who gets none: all others are still in `waiting`.

    Those that are urgent come first, and some of them get a seat where none is free.
    """
    chosen: list[Candidate] = []
    for one in waiting:
        if len(chosen) >= (free + URGENT_SEATS if one.is_urgent else free):
            return chosen, one
        chosen.append(one)
    return chosen, None


def outranked(unseated: Iterable[Candidate], seated: Sequence[Hashable]) -> frozenset[Hashable]:
    """Who of those that wait in a seat is to leave it, the last first: one for each that has none
    and comes before."""
    count = 0
    for one in unseated:
        if one.ahead_of <= count:
            break
        count += 1
    return frozenset(seated[len(seated) - count :])


def _of_people(carriage: Carriage) -> UUID | None:
    """The run that somebody started in Prefect: the worker starts it, as it was asked for."""
    return carriage.flow_run_id if carriage.kind is BatchKind.SINGLE else None


async def _is_accepted(client: PrefectClient, flow_run_id: UUID) -> bool:
    """Prefect lets one of all who ask at the same time have a run."""
    try:
        answer = await client.set_flow_run_state(flow_run_id, Pending())
    except ObjectNotFound:
        return False
    return answer.status is SetStateStatus.ACCEPT
