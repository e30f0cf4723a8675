"""The ledger under random operations: whatever the order, its invariants hold after each."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from qpuflow.domain.errors import Conflict
from qpuflow.domain.job import IllegalTransition, Job, JobState
from qpuflow.domain.principal import Principal
from qpuflow.ledger import batches, carriers, events, intents, jobs
from qpuflow.ledger.database import Ledger
from tests.ledger.entities import (
    CARRIER,
    begin,
    finished,
    hand_over,
    job_of,
    rows,
    scalar,
    store,
    submit,
    take,
)
from tests.ledger.test_batches import UNCARRIED
from tests.ledger.test_events import CHAIN, LAST

T = TypeVar("T")
USERS = st.sampled_from(["alice", "bob"])
INDEX = st.integers(0, 20)
OVERCHARGED = """
SELECT count(*) FROM charges c LEFT JOIN jobs j ON j.id = c.job_id
WHERE j.state IS DISTINCT FROM 'completed'
"""
UNCHARGED = """
SELECT count(*) FROM jobs j WHERE state = 'completed'
    AND (NOT EXISTS (SELECT FROM charges c WHERE c.job_id = j.id)
         OR NOT EXISTS (SELECT FROM results r WHERE r.job_id = j.id))
"""
ABANDONED = """
SELECT count(*) FROM batches b WHERE state <> 'closed' AND NOT EXISTS (
    SELECT FROM carriers c WHERE c.batch_id = b.id AND c.state IN ('pending', 'live'))
"""
EMPTY = """
TRUNCATE jobs, programs, batches, carriers, leases, results, executed, charges, intents, tickets,
    job_events, reservations CASCADE
"""


class AnyOrder(RuleBasedStateMachine):
    """Each rule is what one caller does in one go; callers know nothing of each other."""

    ledger: Ledger
    loop: asyncio.AbstractEventLoop

    def wait(self, action: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(action, self.loop).result(30)

    @initialize()
    def start_empty(self) -> None:
        self.accepted: list[UUID] = []
        self.in_hand: list[Job] = []
        self.keys = 0
        self.wait(self._execute(EMPTY))

    async def _execute(self, statement: str) -> None:
        from sqlalchemy import text

        async with self.ledger.begin() as session:
            await session.execute(text(statement))

    @rule(user=USERS, again=st.booleans())
    def submit(self, user: str, again: bool) -> None:
        self.keys += not again
        accepted = self.wait(submit(self.ledger, Principal(user, user), key=f"key-{self.keys}"))
        if accepted.is_new:
            self.accepted.append(accepted.job_id)
        assert accepted.job_id in self.accepted

    @rule(index=INDEX, limit=st.integers(1, 3))
    def carry(self, index: int, limit: int) -> None:
        """The run of some current carrier begins, and takes jobs."""
        current = self._current()
        if current:
            batch_id, run = current[index % len(current)]
            self.wait(begin(self.ledger, batch_id, run))
            self.in_hand += self.wait(take(self.ledger, batch_id, limit))

    def _current(self) -> list[tuple[Any, ...]]:
        query = "SELECT batch_id, flow_run_id FROM carriers WHERE state IN ('pending', 'live')"
        return self.wait(rows(self.ledger, query))

    def _pick(self, index: int) -> Job | None:
        return self.in_hand[index % len(self.in_hand)] if self.in_hand else None

    @rule(index=INDEX)
    def dispatch(self, index: int) -> None:
        """By a caller who looks first whether that attempt was made: it is never made twice."""
        job = self._pick(index)
        if job and not self.wait(self._attempted(job)):
            try:
                self.wait(hand_over(self.ledger, [job]))
            except IllegalTransition:
                assert self.wait(job_of(self.ledger, job.id)).state is not JobState.PREPARING

    async def _attempted(self, job: Job) -> bool:
        async with self.ledger.begin() as session:
            return bool(await intents.find(session, [job]))

    @rule(index=INDEX)
    def store(self, index: int) -> None:
        """Perhaps a second time, perhaps by a caller whose job was taken away."""
        if job := self._pick(index):
            self.wait(store(self.ledger, [self.wait(finished(self.ledger, job))]))

    @rule(index=INDEX)
    def fail(self, index: int) -> None:
        if job := self._pick(index):
            self.wait(self._move(job.id, JobState.FAILED))

    @rule(index=INDEX)
    def requeue(self, index: int) -> None:
        if job := self._pick(index):
            self.wait(self._requeue(job.id))

    async def _move(self, job_id: UUID, to: JobState) -> None:
        async with self.ledger.begin() as session:
            await events.move(session, CARRIER, [job_id], to, reason="by chance")

    async def _requeue(self, job_id: UUID) -> None:
        sources = [JobState.RUNNING, JobState.WAITING]
        async with self.ledger.begin() as session:
            moved = await events.move(session, CARRIER, [job_id], JobState.QUEUED, sources=sources)
            await jobs.next_attempt(session, moved)

    @rule(index=INDEX)
    def cancel(self, index: int) -> None:
        if self.accepted:
            self.wait(self._cancel(self.accepted[index % len(self.accepted)]))

    async def _cancel(self, job_id: UUID) -> None:
        async with self.ledger.begin() as session:
            await jobs.request_cancel(session, CARRIER, job_id)

    @rule(index=INDEX)
    def retry(self, index: int) -> None:
        if self.accepted:
            self.wait(self._retry(self.accepted[index % len(self.accepted)]))

    async def _retry(self, job_id: UUID) -> None:
        try:
            async with self.ledger.begin() as session:
                await jobs.retry(session, CARRIER, job_id)
        except Conflict:
            assert (await job_of(self.ledger, job_id)).state is not JobState.FAILED

    @rule(index=INDEX, limit=st.integers(1, 4))
    def lose_carrier(self, index: int, limit: int) -> None:
        self.wait(self._lose(index, limit))

    async def _lose(self, index: int, limit: int) -> None:
        async with self.ledger.begin() as session:
            current = await carriers.live(session) + await carriers.outbox(session)
            if current:
                lost = current[index % len(current)]
                await carriers.lose(session, CARRIER, lost, "by chance", limit)

    @rule(index=INDEX)
    def finish_carrier(self, index: int) -> None:
        """As a carrier does: only when everything it has was brought to an end."""
        self.wait(self._finish(index))

    async def _finish(self, index: int) -> None:
        async with self.ledger.begin() as session:
            live = await carriers.live(session)
            if not live:
                return
            carriage = live[index % len(live)]
            at_work = await batches.begun(session, carriage.batch_id)
            if not at_work and await batches.close_if_empty(session, carriage.batch_id):
                await carriers.finish(session, carriage.id)

    @invariant()
    def everything_holds(self) -> None:
        for what in (UNCARRIED, ABANDONED, OVERCHARGED, UNCHARGED, CHAIN, LAST):
            assert self.wait(scalar(self.ledger, what)) == 0, what

    @invariant()
    def nothing_accepted_is_lost(self) -> None:
        found = {row[0] for row in self.wait(rows(self.ledger, "SELECT id FROM jobs"))}
        assert found == set(getattr(self, "accepted", found))


async def test_the_invariants_hold_in_any_order(ledger: Ledger) -> None:
    AnyOrder.ledger, AnyOrder.loop = ledger, asyncio.get_running_loop()
    few = settings(
        max_examples=40,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    await asyncio.to_thread(run_state_machine_as_test, AnyOrder, settings=few)
