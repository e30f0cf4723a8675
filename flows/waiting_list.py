"""Runs that wait for a seat, as people see them in Prefect: why, and until when."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound

from qpuflow.domain.policy import Wait
from qpuflow.flows.outbox import QUEUED, create_run, prefect_client, queued
from qpuflow.flows.resources import Resources
from qpuflow.ledger import arbiter, carriers
from qpuflow.ledger.carriers import Carriage
from qpuflow.ledger.claims import Held

UNSEEN = timedelta(seconds=2)
"""Runs that start as soon as this are not shown to wait."""
BETWEEN_SECONDS = 2.0
"""One note in so long: it costs time that starting runs comes first to."""
STANDS_SECONDS = 30.0
"""After which a note is looked at again."""
LISTED = 100
"""The oldest so many of a QPU are kept up to date."""


class WaitingList:
    """That of one QPU. A run that starts leaves it."""

    def __init__(self, shared: Resources, qpu: str) -> None:
        self._shared = shared
        self._qpu = qpu
        self._noted: dict[UUID, tuple[float, str | None]] = {}
        """When each carrier was looked at, and what its run says."""
        self._rests_until = 0.0

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._rests_until

    async def show(self, held: Held, in_hand: Collection[UUID], *, is_open: bool) -> None:
        """Say of the run looked at longest ago why it waits; create it if it is missing.

        `held` are those that Prefect holds back, all of them unless the work pool `is_open`.
        Carriers `in_hand` are about to start, or shown already.
        """
        self._rests_until = time.monotonic() + BETWEEN_SECONDS
        async with self._shared.ledger.begin() as session:
            listed = await carriers.without_seat(session, self._qpu, UNSEEN, LISTED)
        waiting = [one for one in listed if one.id not in in_hand]
        self._noted = {c.id: self._noted[c.id] for c in waiting if c.id in self._noted}
        if waiting and self._age(carriage := max(waiting, key=self._age)) > STANDS_SECONDS:
            # At once: one that cannot be told of keeps none of the others waiting.
            self._remember(carriage, said := self._said(carriage))
            async with prefect_client() as client:
                why = await self._why(carriage, held, is_open=is_open)
                await self._note(client, carriage, said, queued(why))

    def _remember(self, carriage: Carriage, said: str | None) -> None:
        self._noted[carriage.id] = time.monotonic(), said

    def _said(self, carriage: Carriage) -> str | None:
        noted = self._noted.get(carriage.id)
        return noted[1] if noted else None

    def _age(self, carriage: Carriage) -> float:
        noted = self._noted.get(carriage.id)
        return time.monotonic() - noted[0] if noted else float("inf")

    async def _why(self, carriage: Carriage, held: Held, *, is_open: bool) -> Wait | None:
        if not is_open:
            return Wait(f"The work pool {self._qpu} is paused in Prefect")
        if held.holds(carriage.flow_run_id):
            return Wait("Its work queue is paused in Prefect")
        rules = self._shared.settings.policy
        async with self._shared.ledger.begin() as session:
            return await arbiter.forecast_batch(session, rules, carriage.batch_id)

    async def _note(
        self, client: PrefectClient, carriage: Carriage, said: str | None, state: State[Any]
    ) -> None:
        if carriage.flow_run_id is None:
            run = await create_run(self._shared.ledger, client, carriage, state)
            if run is None or run.state is None or run.state.message != state.message:
                # Somebody else created it just then, with other words: it is the next to be told.
                del self._noted[carriage.id]
                return
        elif said != state.message:
            await _say(client, carriage.flow_run_id, state)
        self._remember(carriage, state.message)


async def _say(client: PrefectClient, run_id: UUID, state: State[Any]) -> None:
    """Unless somebody has begun it meanwhile."""
    try:
        run = await client.read_flow_run(run_id)
        if run.state is not None and run.state.name == QUEUED:
            await client.set_flow_run_state(run_id, state)
    except ObjectNotFound:
        return
