"""Why each waiting job waits and when it is expected to start: the policy, played forward."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from datetime import datetime, timedelta

from qpuflow.domain.policy import Grant, QpuState, Running, Wait, Waiting, decide, obstacle

MAX_DECISIONS = 200
"""Played forward so far; for what comes later the sum of the estimates has to do."""


def explain(state: QpuState, now: datetime) -> dict[Hashable, Wait]:
    """For every waiting job a reason and, unless nobody can tell, its expected start.

    `until` is the start under the assumption that estimates are right and nobody else comes.
    """
    starts = _starts(state, now)
    return {job.id: _why(state, job, starts.get(job.id), now) for job in state.waiting}


def _why(state: QpuState, job: Waiting, start: datetime | None, now: datetime) -> Wait:
    if state.closed is not None:
        return Wait(state.closed)
    if job.start_by is None or now > job.start_by or (start and start <= job.start_by):
        return _why_at_all(state, job, start, now)
    why = _why_at_all(state, job, start, now)
    return Wait(f"{why.reason}. It is not expected to start by its latest start")


def _why_at_all(state: QpuState, job: Waiting, start: datetime | None, now: datetime) -> Wait:
    own = obstacle(state, job, now)
    if own is not None:
        return Wait(own.reason, start or own.until)
    if start is not None and start <= now:
        return Wait("It is about to start", start)
    return Wait("Other jobs come first", start)


def _starts(state: QpuState, now: datetime) -> dict[Hashable, datetime]:
    """When `decide` would grant each job."""
    starts: dict[Hashable, datetime] = {}
    for _ in range(MAX_DECISIONS):
        if state.closed is not None or not state.waiting:
            return starts
        decision = decide(state, now)
        if isinstance(decision, Grant):
            starts |= _starts_in(decision, now)
            state = _granted(state, decision)
        elif (then := _next(state, decision, now)) is None:
            return starts
        else:
            now = max(then, now + timedelta(milliseconds=1))
            state = _until(state, now)
    return starts | _afterwards(state, now)


def _starts_in(grant: Grant, now: datetime) -> dict[Hashable, datetime]:
    starts: dict[Hashable, datetime] = {}
    for job in grant.jobs:
        starts[job.id] = now
        now += timedelta(seconds=job.estimate_seconds)
    return starts


def _next(state: QpuState, wait: Wait, now: datetime) -> datetime | None:
    """The next moment at which the decision may be another."""
    begins = [slot.starts_at for slot in state.slots if slot.starts_at > now]
    ends = [one.ends_at for one in state.running]
    moments = [*ends, *begins, *([wait.until] if wait.until else [])]
    return min(moments, default=None)


def _granted(state: QpuState, grant: Grant) -> QpuState:
    user, project = grant.jobs[0].user, grant.jobs[0].project
    used = state.usage.get(user, 0.0) + sum(job.estimate_seconds for job in grant.jobs)
    return replace(
        state,
        running=(*state.running, Running(project, grant.ends_at)),
        waiting=tuple(job for job in state.waiting if job not in grant.jobs),
        usage={**state.usage, user: used},
    )


def _until(state: QpuState, now: datetime) -> QpuState:
    """What has ended by then has ended, on time."""
    ended = [one for one in state.running if one.ends_at <= now]
    return replace(
        state,
        running=tuple(one for one in state.running if one.ends_at > now),
        last_active={**state.last_active, **{one.project: one.ends_at for one in ended}},
    )


def _afterwards(state: QpuState, now: datetime) -> dict[Hashable, datetime]:
    """In order of age, one after the other on all lanes."""
    starts: dict[Hashable, datetime] = {}
    for job in sorted(state.waiting, key=lambda job: job.number):
        starts[job.id] = now
        now += timedelta(seconds=job.estimate_seconds / state.lanes)
    return starts
