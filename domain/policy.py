"""The booking policy: which job runs next on one QPU, or why none does and until when.

The whole of it is here, as pure functions of a `QpuState` and a moment. Times are aware datetimes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from qpuflow.domain.principal import SYSTEM

Seconds = Annotated[float, Field(ge=0)]
_NEVER = datetime.max.replace(tzinfo=UTC)


class PolicyRules(BaseModel):
    """What an installation may decide about the order of jobs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    idle_threshold_seconds: Seconds = Field(
        default=5.0, description="A booking whose project does nothing for so long is lent."
    )
    lend_max_seconds: Seconds = Field(
        default=30.0, description="Only to jobs expected to take less: the booker may come back."
    )
    guard_seconds: Seconds = Field(
        default=2.0, description="What a QPU needs to stop a job that runs into a booking."
    )
    turn_max_seconds: Seconds = Field(
        default=2.0, description="What one user runs at once while others wait."
    )
    turn_alone_seconds: Seconds = Field(
        default=10.0,
        description="And while nobody waits: whoever comes then waits for the rest of it.",
    )
    usage_half_life_seconds: float = Field(
        default=86_400.0, gt=0, description="After which used QPU time counts half."
    )
    horizon_days: float = Field(
        default=14.0, gt=0, description="How far ahead a gap between bookings is looked for."
    )


@dataclass(frozen=True, slots=True)
class Slot:
    """`[starts_at, ends_at)` for one project, or for nobody: maintenance."""

    starts_at: datetime
    ends_at: datetime
    project: str | None

    @property
    def title(self) -> str:
        return f"booked by {self.project}" if self.project else "in maintenance"


class Waiting(NamedTuple):
    """A job that has not started. `batch` is what it travels in; `number` grows with time.

    A tuple is made in a third of the time, and a decision about a long queue makes a thousand.
    """

    id: Hashable
    batch: Hashable
    user: str
    project: str
    number: int
    estimate_seconds: float
    not_before: datetime | None = None
    start_by: datetime | None = None
    """The latest start that is of use."""
    is_first: bool = False
    """An operator moved it to the front."""


@dataclass(frozen=True, slots=True)
class Running:
    """A lane in use. `ends_at` is when it is expected to be free."""

    project: str
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class QpuState:
    """All that a decision depends on. `slots` are those that have not ended, in any order."""

    rules: PolicyRules = field(default_factory=PolicyRules)
    lanes: int = 1
    slots: tuple[Slot, ...] = ()
    running: tuple[Running, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    usage: Mapping[str, float] = field(default_factory=dict[str, float])
    """Recent QPU seconds of each user."""
    last_active: Mapping[str, datetime] = field(default_factory=dict[str, datetime])
    """When each project's last job here ended."""
    busy: frozenset[str] = frozenset()
    """Projects with jobs that are being prepared, besides those that wait here."""
    closed: str | None = None
    """Why the QPU takes no job at all: paused, drained, offline."""
    lends: bool = True
    """Whether its driver can stop a job within the guard."""


@dataclass(frozen=True, slots=True)
class Grant:
    """These jobs run now, in this order: one user's turn."""

    jobs: tuple[Waiting, ...]
    ends_at: datetime
    """When they are expected to be done."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Why nothing starts now, and the next moment at which that may change, where one is known."""

    reason: str
    until: datetime | None = None


Decision = Grant | Wait


def decide(state: QpuState, now: datetime) -> Decision:
    """The one decision: who runs next on this QPU."""
    if (full := _no_lane(state, now)) is not None:
        return full
    kept_by = obstacles(state, now)
    free = [job for job in in_order(state, now) if kept_by(job) is None]
    if free:
        return _turn(state, free, now)
    waits = [why for job in state.waiting if (why := kept_by(job)) is not None]
    return min(waits, key=_soonest) if waits else Wait("Nothing is queued")


def _no_lane(state: QpuState, now: datetime) -> Wait | None:
    if state.closed is not None:
        return Wait(state.closed)
    if len(state.running) < state.lanes:
        return None
    free_at = max(now, min(one.ends_at for one in state.running))
    return Wait("Other jobs are running", free_at)


def _soonest(wait: Wait) -> tuple[bool, float]:
    return (wait.until is None, wait.until.timestamp() if wait.until else 0.0)


def in_order(state: QpuState, now: datetime) -> list[Waiting]:
    """A booker before all, then what an operator moved, then fairness between users, then age.

    Calibrations come last.
    """
    bookers = {slot.project for slot in _active(state, now)}

    def place(job: Waiting) -> tuple[bool, bool, bool, float, int]:
        stranger = job.project not in bookers
        usage = state.usage.get(job.user, 0.0) if stranger else 0.0
        return (stranger, not job.is_first, job.project == SYSTEM, usage, job.number)

    return sorted(state.waiting, key=place)


def _turn(state: QpuState, free: list[Waiting], now: datetime) -> Grant:
    """The first job and those that travel with it, as far as its user's turn goes.

    A lent slot is lent for one job at a time, so that a booker waits for one at most; so is
    everybody's time to a calibration.
    """
    first, rules = free[0], state.rules
    ends_at = now + _seconds(first.estimate_seconds)
    if first.project == SYSTEM or _is_lent(state, first, now):
        return Grant((first,), ends_at)
    shared = any(job.user != first.user for job in free)
    limit = now + _seconds(rules.turn_max_seconds if shared else rules.turn_alone_seconds)
    jobs = [first]
    for job in free[1:]:
        if job.batch != first.batch or _is_missed(job, ends_at):
            continue
        after = ends_at + _seconds(job.estimate_seconds)
        if after > min(limit, _must_end(state, job, now)):
            break
        jobs.append(job)
        ends_at = after
    return Grant(tuple(jobs), ends_at)


def obstacles(state: QpuState, now: datetime) -> Callable[[Waiting], Wait | None]:
    """`obstacle` of any job at this moment, worked out once for all that are alike: most are."""
    concerned = {SYSTEM, *(slot.project for slot in state.slots)}
    known: dict[Hashable, Wait | None] = {}

    def kept_by(job: Waiting) -> Wait | None:
        # Whoever has booked nothing is as much a stranger to every slot as anybody else.
        project = job.project if job.project in concerned else None
        kind = (project, job.estimate_seconds, job.not_before, job.start_by)
        if kind not in known:
            known[kind] = obstacle(state, job, now)
        return known[kind]

    return kept_by


def obstacle(state: QpuState, job: Waiting, now: datetime) -> Wait | None:
    """What keeps this job from starting, were a lane free and nobody else waiting."""
    if job.not_before is not None and job.not_before > now:
        return Wait(f"It is not to start before {_clock(job.not_before)}", job.not_before)
    if job.start_by is not None and _is_missed(job, now):
        return Wait(missed(job.start_by))
    for slot in _active(state, now):
        if not _may_use(slot, job) and (why := _not_lent(state, slot, job, now)) is not None:
            return why
    if now + _seconds(job.estimate_seconds) <= _must_end(state, job, now):
        return None
    return _too_long(state, job, now)


def _is_missed(job: Waiting, at: datetime) -> bool:
    return job.start_by is not None and job.start_by < at


def missed(start_by: datetime) -> str:
    """What is said of a job that nobody could start in time."""
    return f"Its latest start, {_clock(start_by)}, has passed"


def _may_use(slot: Slot, one: Waiting | Running) -> bool:
    """It is theirs; or it is maintenance, and they are a calibration."""
    return slot.project == one.project or (slot.project is None and one.project == SYSTEM)


def _not_lent(state: QpuState, slot: Slot, job: Waiting, now: datetime) -> Wait | None:
    """Why an active booking is not lent to somebody else's job; None if it is."""
    until = _clock(slot.ends_at)
    if slot.project is None:
        return Wait(f"The QPU is in maintenance until {until}", _gap(state, job, now))
    if not state.lends or job.estimate_seconds >= state.rules.lend_max_seconds:
        return Wait(f"The QPU is {slot.title} until {until}", _gap(state, job, now))
    if _has_work(state, slot.project, now):
        reason = f"The QPU is {slot.title}, who use it, until {until}"
        return Wait(reason, _gap(state, job, now))
    lent_from = _idle_since(state, slot) + _seconds(state.rules.idle_threshold_seconds)
    if now < lent_from:
        return Wait(f"The QPU is {slot.title} until {until}, and not yet idle", lent_from)
    return None


def _has_work(state: QpuState, project: str, now: datetime) -> bool:
    """Work that is due. What could not start in this booking anyhow keeps nobody out."""
    if project in state.busy or any(one.project == project for one in state.running):
        return True
    return any(
        job.project == project
        and (job.not_before is None or job.not_before <= now)
        and not _is_missed(job, now)
        and now + _seconds(job.estimate_seconds) <= _must_end(state, job, now)
        for job in state.waiting
    )


def _idle_since(state: QpuState, slot: Slot) -> datetime:
    """The start of the slot counts as activity."""
    assert slot.project is not None
    return max(slot.starts_at, state.last_active.get(slot.project, slot.starts_at))


def _is_lent(state: QpuState, job: Waiting, now: datetime) -> bool:
    return any(slot.project != job.project for slot in _active(state, now))


def _active(state: QpuState, now: datetime) -> list[Slot]:
    return [slot for slot in state.slots if slot.starts_at <= now < slot.ends_at]


def _booked_for(state: QpuState, project: str, now: datetime) -> Slot | None:
    return next((slot for slot in _active(state, now) if slot.project == project), None)


def _must_end(state: QpuState, job: Waiting, now: datetime) -> datetime:
    """The next booking of others, less the guard; a booker may use their slot to its end."""
    others = [s.starts_at for s in state.slots if s.starts_at > now and not _may_use(s, job)]
    if not others:
        return _NEVER
    guard = 0.0 if _booked_for(state, job.project, now) else state.rules.guard_seconds
    return min(others) - _seconds(guard)


def _too_long(state: QpuState, job: Waiting, now: datetime) -> Wait:
    """It would run into a booking: it waits for a gap that holds it, if there is any."""
    gap = _gap(state, job, now)
    if gap is not None:
        return Wait("It would run into the next booking", gap)
    days = f"{state.rules.horizon_days:g} days"
    needs = f"It needs {job.estimate_seconds:g} s, and no gap of the next {days} holds it"
    return Wait(f"{needs}. Book time for it: `qpuflow book`")


def _gap(state: QpuState, job: Waiting, now: datetime) -> datetime | None:
    """When the first stretch begins that nobody else has booked and that the job fits in."""
    needed = _seconds(job.estimate_seconds + state.rules.guard_seconds)
    start, horizon = now, now + timedelta(days=state.rules.horizon_days)
    for slot in sorted(state.slots, key=lambda slot: slot.starts_at):
        if _may_use(slot, job) or slot.ends_at <= start:
            continue
        if slot.starts_at - start >= needed:
            return start
        start = slot.ends_at
    return start if start < horizon else None


def must_stop(state: QpuState, one: Running, now: datetime) -> bool:
    """Whether running work has overrun into a booking of others and is to be cut off.

    Its estimate and the guard are its own, also where the booking was made after it had started.
    """
    over = one.ends_at + _seconds(state.rules.guard_seconds)
    return now >= over and any(not _may_use(slot, one) for slot in _active(state, now))


def _seconds(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}".strip()
