"""Starting the flow runs that the ledger puts first, as far as there are seats."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import Pending

from qpuflow.flows.leisure import Leisure
from qpuflow.flows.next_in_line import NextInLine
from qpuflow.flows.outbox import create_run, prefect_client, queued
from qpuflow.flows.resources import Resources
from qpuflow.flows.waiting_list import UNSEEN
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
PAUSE_SECONDS = 1.0
"""A seat whose run could not be claimed is kept so long: the next would not be either."""
_log = logging.getLogger("prefect.qpuflow.engine")


class Claims:
    """What one engine starts next, each as soon as it is claimed, beside the others.

    `begin` is given a run that the ledger created, claimed; `send` the run of a person, which the
    worker starts as it was asked for; `again` is called when a seat is free that had been given.
    """

    def __init__(
        self,
        shared: Resources,
        qpu: str,
        *,
        begin: Callable[[FlowRun], None],
        send: Callable[[UUID], None],
        again: Callable[[], None],
    ) -> None:
        self._shared = shared
        self._qpu = qpu
        self._begin = begin
        self._send = send
        self._again = again
        self._claiming: dict[UUID, asyncio.Task[None]] = {}
        """Carriers that have a seat, and whose runs are not claimed yet."""
        self._showing: frozenset[UUID] = frozenset()
        """Carriers whose runs are just created for people to see."""
        self._chores: set[asyncio.Task[None]] = set()
        self._refused: dict[UUID, float] = {}
        """Carriers and runs, and until when each is left alone."""
        self._changed_at = float("-inf")
        """When seats became scarce, or enough."""
        self._leisure = Leisure(SHOW_EVERY_SECONDS, LEFT_ALONE)
        self._next_in_line = NextInLine()

    @property
    def in_hand(self) -> frozenset[UUID]:
        """Carriers with whose runs something is being done."""
        return self._showing | self._claiming.keys()

    async def fill(self, free: int, at_work: Collection[UUID], held: Held = NOTHING) -> bool:
        """Start as many as are free, and a booker's beside. `at_work` are the runs that have a
        seat. Whether there may be more to start: one of each user is looked at."""
        free -= len(self._claiming)
        self._next_in_line.clear()
        waiting = await self._waiting(replace(held, runs=held.runs | frozenset(at_work)))
        if self._shared.draining.is_set():
            return False
        chosen, left = seated(waiting.candidates, free)
        unseated = [left, *islice(waiting, len(waiting.seated))] if left is not None else []
        if bool(unseated) != self._shared.crowded:
            self._shared.crowded, self._changed_at = bool(unseated), time.monotonic()
        self._shared.outranked = outranked(unseated, waiting.seated)
        for one in chosen:
            self._start(one.carriage)
        if unseated and self._is_time_to_show():
            self._show(unseated := [*unseated, *waiting])
        self._next_in_line.set(chain(unseated, waiting))
        return bool(chosen) and left is None

    def go_on(self, free: int, at_work: Collection[UUID]) -> bool:
        """Start as many as are free by the last look, without another. False: it takes one."""
        if not self._next_in_line.is_known or self._shared.draining.is_set():
            return False
        missing = max(0, free - len(self._claiming))
        chosen = self._next_in_line.take(missing, {*at_work, *self._refused, *self.in_hand})
        for carriage in chosen:
            self._start(carriage)
        return len(chosen) == missing

    def look_first(self) -> None:
        """Before the next is started: runs of some that are in line are created now, or were."""
        self._next_in_line.clear()

    async def settled(self) -> None:
        """Whatever was being claimed has begun, or was given up."""
        if self._claiming:
            await asyncio.wait(self._claiming.values())

    async def _waiting(self, held: Held) -> Queue:
        """What is left alone is so in the ledger already: it hides nothing of its user's."""
        ledger, settings = self._shared.ledger, self._shared.settings
        self._refused = {c: until for c, until in self._refused.items() if until > time.monotonic()}
        held = replace(held, runs=held.runs | self._refused.keys() | self.in_hand)
        async with ledger.begin() as session:
            return await claims.next_carriers(
                *(session, self._qpu, settings.policy, held),
                silence_seconds=settings.lost_after_seconds,
            )

    def refuse(self, run_or_carrier: UUID) -> None:
        """A run that could not be started, or created, is left alone for a while."""
        self._refused[run_or_carrier] = time.monotonic() + REFUSED_SECONDS

    def _start(self, carriage: Carriage) -> None:
        if (run_id := _of_people(carriage)) is not None:
            self._send(run_id)
        else:
            self._claiming[carriage.id] = asyncio.create_task(self._claim(carriage))

    async def _claim(self, carriage: Carriage) -> None:
        try:
            run = await self._tried(carriage)
        finally:
            del self._claiming[carriage.id]
        if run is not None:
            self._begin(run)
        else:
            self._again()

    async def _tried(self, carriage: Carriage) -> FlowRun | None:
        try:
            async with prefect_client() as client:
                run = await self._claimed(client, carriage)
        except Exception as error:  # noqa: BLE001  the others shall start
            _log.warning("Carrier %s is not started: %r", carriage.id, error)
            await asyncio.sleep(PAUSE_SECONDS)
            return None
        if run is None:
            self.refuse(carriage.flow_run_id or carriage.id)
            self._next_in_line.mark_shared()
        elif run.id in self._refused:
            return None
        return run

    async def _claimed(self, client: PrefectClient, carriage: Carriage) -> FlowRun | None:
        """None when the run is another's, cancelled or deleted."""
        if carriage.flow_run_id is None:
            run = await create_run(self._shared.ledger, client, carriage, Pending())
            return run if run and run.state and run.state.is_pending() else None
        if await _is_accepted(client, carriage.flow_run_id):
            return await client.read_flow_run(carriage.flow_run_id)
        return None

    def _is_time_to_show(self) -> bool:
        has_lasted = time.monotonic() - self._changed_at > UNSEEN.total_seconds()
        return has_lasted and self._leisure.is_there and not self._showing

    def _show(self, others: Iterable[Candidate]) -> None:
        """The last first: they wait for longest, and the first are about to start."""
        unseen = (one.carriage for one in others if one.carriage.flow_run_id is None)
        with self._leisure.spent():  # also where all of a long queue are seen already
            last = deque(unseen, maxlen=SHOWN_AT_ONCE)
        if last:
            self._showing = frozenset(one.id for one in last)
            chore = asyncio.create_task(self._create(last))
            self._chores.add(chore)
            chore.add_done_callback(self._chores.discard)

    async def _create(self, unseen: Iterable[Carriage]) -> None:
        try:
            with self._leisure.spent():
                async with prefect_client() as client:
                    for carriage in unseen:
                        await create_run(self._shared.ledger, client, carriage, queued())
        except Exception as error:  # noqa: BLE001  they are created when they start
            _log.warning("Not all that wait are shown to: %r", error)
        finally:
            self.look_first()
            self._showing = frozenset()
            self._again()


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
