"""The account book under random operations, beside a model that only adds and subtracts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from qpuflow.domain.errors import NotFound
from qpuflow.domain.job import Job, JobState
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import Allowance, QuotaExceeded, Scope, exact
from qpuflow.ledger import events, jobs, quotas, reservations, statements
from qpuflow.ledger.database import Ledger
from tests.ledger.account_book import (
    LAB,
    LAB_ON_RACK,
    OPERATOR,
    grant,
    open_lab,
    require_in_order,
    revoke,
)
from tests.ledger.entities import (
    CARRIER,
    begin,
    finished,
    hand_over,
    register,
    rows,
    store,
    submit,
    take,
)

T = TypeVar("T")
ALICE = Principal("alice", "lab")
EMPTY = """
TRUNCATE jobs, programs, batches, carriers, leases, results, executed, charges, intents, tickets,
    job_events, reservations, allowances, grants, quota_requests CASCADE
"""
SECONDS = st.floats(0.0, 3.0)
AMOUNT = st.decimals("0.000001", 5, places=6)
INDEX = st.integers(0, 20)
SCOPE = st.sampled_from([LAB, LAB_ON_RACK])


class AccountBook(RuleBasedStateMachine):
    """`held` is what each open job keeps of which allowance; `used` are the charges."""

    ledger: Ledger
    loop: asyncio.AbstractEventLoop

    def wait(self, action: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(action, self.loop).result(30)

    @initialize()
    def start_empty(self) -> None:
        self.granted: dict[Scope, Decimal] = {}
        self.held: dict[UUID, dict[Scope, Decimal]] = {}
        self.used: list[tuple[str, Decimal]] = []
        self.free: dict[Scope, Decimal] = {}
        self.in_hand: dict[UUID, Job] = {}
        self.handed_over: dict[UUID, Job] = {}
        self.failed: dict[UUID, tuple[str, float]] = {}
        self.estimates: dict[UUID, float] = {}
        self.wait(self._start_empty())

    async def _start_empty(self) -> None:
        async with self.ledger.begin() as session:
            await session.execute(text(EMPTY))

    def charged(self, scope: Scope) -> Decimal:
        used = sum((x for qpu, x in self.used if scope.qpu in (None, qpu)), Decimal(0))
        return used - self.free[scope]

    def reserved(self, scope: Scope) -> Decimal:
        return sum((one.get(scope, Decimal(0)) for one in self.held.values()), Decimal(0))

    def available(self, scope: Scope) -> Decimal:
        return self.granted[scope] - self.charged(scope) - self.reserved(scope)

    def limits(self, qpu: str) -> list[Scope]:
        return [scope for scope in self.granted if scope.qpu in (None, qpu)]

    @rule(scope=SCOPE, amount=AMOUNT, back=st.booleans())
    def grant(self, scope: Scope, amount: Decimal, back: bool) -> None:
        if back and scope not in self.granted:
            with pytest.raises(NotFound, match="was never granted"):
                self.wait(revoke(self.ledger, scope, str(amount)))
            return
        self.wait((revoke if back else grant)(self.ledger, scope, str(amount)))
        if scope not in self.granted:
            self.granted[scope] = self.free[scope] = Decimal(0)
            self.free[scope] = self.charged(scope)
        self.granted[scope] += -amount if back else amount

    @rule(qpu=st.sampled_from(["rack", "other"]), seconds=SECONDS)
    def submit(self, qpu: str, seconds: float) -> None:
        amount, scopes = exact(seconds), self.limits(qpu)
        try:
            accepted = self.wait(submit(self.ledger, ALICE, qpu=qpu, estimate_seconds=seconds))
        except QuotaExceeded:
            assert any(self.available(scope) < amount for scope in scopes)
            return
        assert all(self.available(scope) >= amount for scope in scopes)
        self.held[accepted.job_id] = dict.fromkeys(scopes, amount)
        self.estimates[accepted.job_id] = seconds

    @rule()
    def carry(self) -> None:
        query = "SELECT batch_id, flow_run_id FROM carriers WHERE state IN ('pending', 'live')"
        for batch_id, run in self.wait(rows(self.ledger, query)):
            if not self.in_hand:
                self.wait(begin(self.ledger, batch_id, run))
            for job in self.wait(take(self.ledger, batch_id, 2)):
                self.in_hand[job.id] = job

    @rule(index=INDEX, seconds=SECONDS)
    def learn(self, index: int, seconds: float) -> None:
        """The driver's estimate; one that does not fit refuses the job and changes nothing."""
        job = _pick(self.in_hand, index)
        if job is None:
            return
        refused = self.wait(self._adjust(job, seconds))
        held, amount = self.held[job.id], exact(seconds)
        short = [
            scope
            for scope in self.limits(job.qpu)
            if held.get(scope, Decimal(0)) < amount
            and self.available(scope) < amount - held.get(scope, Decimal(0))
        ]
        assert bool(refused) == bool(short)
        if not refused:
            self.held[job.id] = dict.fromkeys(self.limits(job.qpu), amount)

    async def _adjust(self, job: Job, seconds: float) -> dict[UUID, QuotaExceeded]:
        async with self.ledger.begin() as session:
            scope = Scope("lab", job.qpu)
            return await reservations.adjust(session, scope, {job.id: seconds})

    @rule(index=INDEX)
    def dispatch(self, index: int) -> None:
        if job := _pick(self.in_hand, index):
            self.wait(hand_over(self.ledger, [job]))
            self.handed_over[job.id] = self.in_hand.pop(job.id)

    @rule(index=INDEX, seconds=SECONDS, twice=st.booleans())
    def store(self, index: int, seconds: float, twice: bool) -> None:
        if job := _pick(self.handed_over, index):
            for _ in range(1 + twice):
                self.wait(self._store(job, seconds))
            del self.handed_over[job.id], self.held[job.id]
            self.used.append((job.qpu, exact(seconds)))

    async def _store(self, job: Job, seconds: float) -> None:
        await store(self.ledger, [await finished(self.ledger, job, seconds)])

    @rule(index=INDEX, state=st.sampled_from([JobState.FAILED, JobState.CANCELLED]))
    def end(self, index: int, state: JobState) -> None:
        job = _pick(self.handed_over | self.in_hand, index)
        if job is None:
            return
        self.wait(self._move(job.id, state))
        self.handed_over.pop(job.id, None)
        self.in_hand.pop(job.id, None)
        del self.held[job.id]
        if state is JobState.FAILED:
            self.failed[job.id] = job.qpu, self.estimates[job.id]

    async def _move(self, job_id: UUID, state: JobState) -> None:
        async with self.ledger.begin() as session:
            await events.require_move(session, CARRIER, [job_id], state, reason="by chance")

    @rule(index=INDEX)
    def retry(self, index: int) -> None:
        job_id = _pick({one: one for one in self.failed}, index)
        if job_id is None:
            return
        qpu, seconds = self.failed[job_id]
        scopes, amount = self.limits(qpu), exact(seconds)
        try:
            self.wait(self._retry(job_id))
        except QuotaExceeded:
            assert any(self.available(scope) < amount for scope in scopes)
            return
        assert all(self.available(scope) >= amount for scope in scopes)
        self.held[job_id] = dict.fromkeys(scopes, amount)
        del self.failed[job_id]

    async def _retry(self, job_id: UUID) -> None:
        async with self.ledger.begin() as session:
            await jobs.retry(session, ALICE, job_id)

    @invariant()
    def the_book_says_what_the_model_says(self) -> None:
        if not hasattr(self, "granted"):
            return
        found = {one.scope: one for one in self.wait(self._allowances())}
        expected = {
            scope: Allowance(scope, granted, self.charged(scope), self.reserved(scope))
            for scope, granted in self.granted.items()
        }
        assert found == expected
        self.wait(require_in_order(self.ledger))

    async def _allowances(self) -> list[Allowance]:
        async with self.ledger.begin() as session:
            return await quotas.of_project(session, OPERATOR, "lab")

    @invariant()
    def the_statement_adds_up(self) -> None:
        if not hasattr(self, "granted"):
            return
        since = datetime.now(UTC) - timedelta(hours=1)
        made = self.wait(statements.make(self.ledger, OPERATOR, "lab", since))
        assert made.seconds == sum((seconds for _, seconds in self.used), Decimal(0))
        for line in made.allowances:
            assert line.closing == self.granted[line.scope] - self.charged(line.scope)
            assert line.free == self.free[line.scope]
            assert line.reserved == self.reserved(line.scope)


def _pick(among: dict[UUID, T], index: int) -> T | None:
    return list(among.values())[index % len(among)] if among else None


async def test_the_book_is_right_in_any_order(ledger: Ledger) -> None:
    await register(ledger, "other")
    await open_lab(ledger, "alice")
    AccountBook.ledger, AccountBook.loop = ledger, asyncio.get_running_loop()
    few = settings(
        max_examples=30,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    await asyncio.to_thread(run_state_machine_as_test, AccountBook, settings=few)
