"""The policy at work on a simulated QPU, against any order of submissions, bookings and time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from qpuflow.domain.forecast import explain
from qpuflow.domain.policy import (
    Grant,
    PolicyRules,
    QpuState,
    Running,
    Slot,
    Wait,
    Waiting,
    decide,
    must_stop,
    obstacle,
    obstacles,
)

START = datetime(2028, 2, 28, 23, 59, tzinfo=UTC)
GUARD, LEND, TURN, IDLE = 2.0, 8.0, 2.0, 5.0
RULES = PolicyRules(guard_seconds=GUARD, lend_max_seconds=LEND, horizon_days=1)
PEOPLE = ("ann", "bob", "eve")
Seconds = strategies.integers


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


@dataclass
class Run:
    """Jobs that share a lane, one after the other. `takes` is the truth, unlike an estimate."""

    jobs: tuple[Waiting, ...]
    granted_at: datetime
    expected_end: datetime
    real_end: datetime
    known: tuple[Slot, ...]

    @property
    def project(self) -> str:
        return self.jobs[0].project

    @property
    def running(self) -> Running:
        return Running(self.project, self.expected_end)


class PolicyMachine(RuleBasedStateMachine):
    """Whatever is checked here is worked out without the policy's own helpers."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.numbers = 0
        self.slots: list[Slot] = []
        self.waiting: list[Waiting] = []
        self.takes: dict[Any, float] = {}
        self.runs: list[Run] = []
        self.usage: defaultdict[str, float] = defaultdict(float)
        self.last_active: dict[str, datetime] = {}

    @initialize(lanes=Seconds(1, 3))
    def open(self, lanes: int) -> None:
        self.lanes = lanes

    @rule(
        user=strategies.sampled_from(PEOPLE),
        estimate=strategies.sampled_from([1, 2, 5, 14, 40]),
        truth=strategies.sampled_from([0.5, 1.0, 1.0, 1.0, 10.0]),
        later=strategies.sampled_from([0, 0, 0, 15]),
        useful=strategies.sampled_from([0, 0, 0, 4, 30]),
    )
    def submit(self, user: str, estimate: int, truth: float, later: int, useful: int) -> None:
        self.numbers += 1
        not_before = self.now + seconds(later) if later else None
        start_by = self.now + seconds(later + useful) if useful else None
        job = Waiting(
            self.numbers, user, user, user, self.numbers, estimate / 2, not_before, start_by
        )
        self.takes[job.id] = job.estimate_seconds * truth
        self.waiting.append(job)
        self.start()

    @rule(
        project=strategies.sampled_from([*PEOPLE, None]),
        ahead=strategies.sampled_from([0, 0, 3, 10, 40]),
        length=strategies.sampled_from([5, 40, 90]),
    )
    def book(self, project: str | None, ahead: int, length: int) -> None:
        starts = self.now + seconds(ahead)
        slot = Slot(starts, starts + seconds(length), project)
        if all(slot.ends_at <= s.starts_at or s.ends_at <= slot.starts_at for s in self.slots):
            self.slots.append(slot)
            self.start()

    @rule(time=strategies.sampled_from([1, 4, 6, 20]))
    def wait(self, time: int) -> None:
        end = self.now + seconds(time)
        while (then := min(self.next(), end)) < end:
            self.step(then)
        self.step(end)

    def next(self) -> datetime:
        """The simulated QPU is looked at often, as carriers that ask again do."""
        ends = [run.real_end for run in self.runs if run.real_end > self.now]
        return min([self.now + seconds(0.5), *ends])

    def step(self, then: datetime) -> None:
        self.now = then
        for run in list(self.runs):
            stopped = must_stop(self.state(), run.running, self.now)
            if run.real_end <= self.now or stopped:
                self.end(run)
        self.slots = [slot for slot in self.slots if slot.ends_at > self.now]
        self.start()

    def end(self, run: Run) -> None:
        self.runs.remove(run)
        self.last_active[run.project] = self.now
        held = (self.now - run.granted_at).total_seconds()
        self.usage[run.jobs[0].user] += held

    def state(self) -> QpuState:
        return QpuState(
            RULES,
            self.lanes,
            tuple(self.slots),
            tuple(run.running for run in self.runs),
            tuple(self.waiting),
            self.used(),
            self.last_active,
        )

    def used(self) -> dict[str, float]:
        """What is being used counts as well."""
        used = dict(self.usage)
        for run in self.runs:
            user = run.jobs[0].user
            used[user] = used.get(user, 0.0) + sum(job.estimate_seconds for job in run.jobs)
        return used

    def start(self) -> None:
        while isinstance(decision := decide(self.state(), self.now), Grant):
            self.check(decision)
            self.check_each_starts_in_its_time(decision)
            for job in decision.jobs:
                self.waiting.remove(job)
            truth = sum(self.takes[job.id] for job in decision.jobs)
            self.runs.append(
                Run(
                    decision.jobs,
                    self.now,
                    decision.ends_at,
                    self.now + seconds(truth),
                    tuple(self.slots),
                )
            )

    def active(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.starts_at <= self.now < slot.ends_at]

    def check(self, grant: Grant) -> None:
        first = grant.jobs[0]
        assert len(self.runs) < self.lanes
        assert len({job.user for job in grant.jobs}) == 1
        self.check_it_ends_in_time(grant)
        strangers = [slot for slot in self.active() if slot.project != first.project]
        if strangers:
            self.check_it_may_be_lent(grant, strangers[0])
        elif not self.active():
            self.check_it_is_fair(grant)

    def check_it_ends_in_time(self, grant: Grant) -> None:
        total = sum(job.estimate_seconds for job in grant.jobs)
        own = any(slot.project == grant.jobs[0].project for slot in self.active())
        for slot in self.slots:
            if slot.starts_at > self.now and slot.project != grant.jobs[0].project:
                assert self.now + seconds(total + (0 if own else GUARD)) <= slot.starts_at

    def check_each_starts_in_its_time(self, grant: Grant) -> None:
        start = self.now
        for job in grant.jobs:
            assert job.not_before is None or job.not_before <= self.now
            assert job.start_by is None or start <= job.start_by
            start += seconds(job.estimate_seconds)

    def check_it_may_be_lent(self, grant: Grant, slot: Slot) -> None:
        assert slot.project is not None, "maintenance is lent to nobody"
        assert len(grant.jobs) == 1
        assert grant.jobs[0].estimate_seconds < LEND
        assert not [run for run in self.runs if run.project == slot.project]
        idle_since = max(slot.starts_at, self.last_active.get(slot.project, START))
        assert self.now >= idle_since + seconds(IDLE)
        waiting = [job for job in self.eligible() if job.project == slot.project]
        assert not waiting, "a booker waits, and the slot is lent"

    def check_it_is_fair(self, grant: Grant) -> None:
        """Nobody waits for more of another's time than makes the two equal, and one turn."""
        user = grant.jobs[0].user
        others = [job for job in self.eligible() if job.user != user]
        total = sum(job.estimate_seconds for job in grant.jobs)
        if others and len(grant.jobs) > 1:
            assert total <= TURN
        used = self.used()
        for job in others:
            assert used.get(user, 0.0) <= used.get(job.user, 0.0)

    def eligible(self) -> list[Waiting]:
        """What could start now, were a lane its own."""
        found: list[Waiting] = []
        for job in self.waiting:
            own = any(slot.project == job.project for slot in self.active())
            late = self.now + seconds(job.estimate_seconds + (0 if own else GUARD))
            ahead = [s for s in self.slots if s.starts_at > self.now and s.project != job.project]
            due = job.not_before is None or job.not_before <= self.now
            late_already = job.start_by is not None and job.start_by < self.now
            if due and not late_already and all(late <= slot.starts_at for slot in ahead):
                found.append(job)
        return found

    @invariant()
    def nobody_runs_into_a_booking_beyond_the_guard(self) -> None:
        for run in self.runs:
            for slot in self.active():
                if slot.project != run.project:
                    known = slot in run.known and run.granted_at < slot.starts_at
                    promised = slot.starts_at if known else run.expected_end
                    limit = max(slot.starts_at, promised) + seconds(GUARD + 0.5)
                    assert self.now <= limit, (run, slot, self.now)

    @invariant()
    def a_booker_waits_for_no_more_than_one_lent_job(self) -> None:
        """While one is due and could run, each lane holds at most what it held when it came."""
        for slot in self.active():
            due = [job for job in self.eligible() if job.project == slot.project]
            if due:
                assert len(self.runs) == self.lanes, "a lane is free and a booker waits"

    @invariant()
    def no_lane_is_free_while_somebody_could_run(self) -> None:
        if not self.active() and self.eligible():
            assert len(self.runs) == self.lanes

    @invariant()
    def what_is_worked_out_for_one_holds_for_all_that_are_alike(self) -> None:
        for soon in (0, 5):
            state, at = self.state(), self.now + seconds(soon)
            kept_by = obstacles(state, at)
            for job in self.waiting:
                assert kept_by(job) == obstacle(state, job, at)

    @invariant()
    def every_waiting_job_has_a_reason_and_a_start(self) -> None:
        told = explain(self.state(), self.now)
        assert set(told) == {job.id for job in self.waiting}
        for job in self.waiting:
            wait = told[job.id]
            assert isinstance(wait, Wait)
            assert wait.reason
            if wait.until is None:
                assert job.start_by is not None
                assert "latest start" in wait.reason
            else:
                assert self.now <= wait.until <= (job.start_by or wait.until)


TestPolicy = PolicyMachine.TestCase
TestPolicy.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
