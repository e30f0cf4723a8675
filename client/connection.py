"""The asynchronous client: one open connection to a qpuflow installation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

from qpuflow.client.booking import Bookings
from qpuflow.client.control import Controls
from qpuflow.client.costs import Costs
from qpuflow.client.patience import patiently
from qpuflow.client.quotas import Quotas
from qpuflow.client.sessions import Defaults, Session
from qpuflow.client.watching import Watching
from qpuflow.domain.endpoints import PartRecord, find_record
from qpuflow.domain.errors import InputError, NotFound
from qpuflow.domain.job import Job, JobState
from qpuflow.domain.principal import Principal, Role
from qpuflow.domain.report import JobReport
from qpuflow.domain.request import JobOptions, JobRequest
from qpuflow.domain.settings import Settings
from qpuflow.flows.open_ledger import open_ledger
from qpuflow.ledger import accounts, jobs, programs, qpus, reports, results
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.qpus import RegisteredQpu
from qpuflow.ledger.signals import Channel, within
from qpuflow.tasks.admission import Journey, admit_all
from qpuflow.tasks.known import Known

if TYPE_CHECKING:
    import xarray as xr

FIRST_LOOK_SECONDS = 0.05
SLOWEST_LOOK_SECONDS = 1.0
LOOK_AT_STACK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Receipt:
    """A job that is durable from now on. `note` says what may delay its start, if anything."""

    job_id: UUID
    is_new: bool
    note: str | None = None


@asynccontextmanager
async def connect(settings: Settings | None = None) -> AsyncGenerator[Connection]:
    """Connect as the settings say: to the running stack, or to a database elsewhere."""
    settings = settings or Settings()
    async with open_ledger(settings) as ledger:
        yield Connection(ledger, settings)


class _Stack:
    """The local stack, as it was a moment ago: looking takes as long as two statements."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._parts: tuple[PartRecord, ...] = ()
        self._looked_at = float("-inf")

    def delay(self, qpu: str) -> str | None:
        """What it lacks to start a job."""
        needed = ("prefect-server", f"worker-{qpu}")
        for part in self._now():
            if part.name in needed and part.phase != "ready":
                return f"{part.name} is {part.phase}; the job is kept and starts when it is back"
        return None

    def _now(self) -> tuple[PartRecord, ...]:
        if time.monotonic() - self._looked_at > LOOK_AT_STACK_SECONDS:
            record = find_record(self._settings)
            self._parts, self._looked_at = record.parts if record else (), time.monotonic()
        return self._parts


class Connection:
    """What a user can do. Every call is made as the user and project of the settings."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._settings = settings
        roles = {Role.USER, Role.OPERATOR} if settings.operator else {Role.USER}
        self.principal = Principal(
            settings.user, settings.project or settings.user, frozenset(roles), via="client"
        )
        self._known = Known(ledger)
        self._stack = _Stack(settings)
        self.bookings = Bookings(ledger, self.principal, settings)
        self.controls = Controls(ledger, self.principal)
        self.costs = Costs(ledger, self.principal)
        self.quotas = Quotas(ledger, self.principal, settings)
        self.watching = Watching(ledger)

    async def submit(self, request: JobRequest) -> Receipt:
        """Accept a job. When this returns it is not lost any more, whatever crashes.

        Raises `InputError` when something in the request must be mended; nothing is kept then.
        """
        (receipt,) = await self.submit_all([request])
        return receipt

    async def submit_all(self, requests: Sequence[JobRequest]) -> list[Receipt]:
        """Accept many jobs of one project in one transaction: all of them, or none.

        Several times faster than one by one. Raises `InputError` as `submit`.
        """
        if len({request.project for request in requests}) > 1:
            raise InputError(
                "The requests are of several projects", remedy="Submit those of each by themselves."
            )
        if not requests:
            return []
        principal = self._principal_of(requests[0])
        wanted = [(request, self._journey(request)) for request in requests]
        accepted = await admit_all(self._ledger, principal, wanted, self._known)
        notes = {journey.qpu: self._stack.delay(journey.qpu) for _, journey in wanted}
        return [
            Receipt(one.job_id, one.is_new, notes[journey.qpu])
            for one, (_, journey) in zip(accepted, wanted, strict=True)
        ]

    def _journey(self, request: JobRequest) -> Journey:
        self._principal_of(request)
        if request.qpu is None:
            raise InputError("The request names no QPU", remedy="See `qpuflow qpus`.")
        return Journey(request.qpu)

    def _principal_of(self, request: JobRequest) -> Principal:
        if request.user not in (None, self.principal.user):
            raise InputError(
                f"You submit as {self.principal.user!r}, the request is {request.user!r}'s",
                remedy="Leave `user` empty.",
            )
        return self._for(request.project)

    def _for(self, project: str | None) -> Principal:
        return replace(self.principal, project=project or self.principal.project)

    def session(
        self,
        qpu: str,
        shots: int = 1024,
        *,
        options: JobOptions | None = None,
        key: str | None = None,
        project: str | None = None,
    ) -> Session:
        """For `async with`: one job after the other; at the end the QPU is left at once.

        With a key the jobs have keys of their own, numbered: the same session again is answered
        with the results that are there. Entering raises `NotFound` for a QPU that there is not.
        """
        defaults = Defaults(qpu, shots, options or JobOptions(), key)
        return Session(self._ledger, self._for(project), self._known, defaults)

    async def find(self, text: str) -> UUID:
        """The id of a job from its key or the first characters of its id."""
        async with self._ledger.begin() as session:
            return await jobs.resolve(session, self.principal, text)

    async def report(self, job_id: UUID) -> JobReport:
        """The job as it is now, with its results if it has completed."""
        return await reports.read(self._ledger, self.principal, job_id)

    async def status(self, job_id: UUID) -> JobReport:
        """The job as it is now, with its history and without its results."""
        rules = self._settings.policy
        return await reports.status(self._ledger, self.principal, job_id, rules)

    async def datasets(self, job_id: UUID) -> list[xr.Dataset]:
        """One dataset a program, in order; layout in `qpuflow.domain.result`."""
        async with self._ledger.begin() as session:
            return await results.read(self._ledger, session, self.principal, job_id)

    async def executed(self, job_id: UUID) -> dict[int, list[bytes]]:
        """The compiled circuits that really ran, as QPY, by position of their program."""
        async with self._ledger.begin() as session:
            return await programs.executed(self._ledger, session, self.principal, job_id)

    async def cancel(self, job_id: UUID) -> JobState:
        """Cancel a queued job at once, and have a running one stopped."""
        async with self._ledger.begin() as session:
            return await jobs.request_cancel(session, self.principal, job_id)

    async def jobs(self, *, qpu: str | None = None, limit: int = 50) -> list[Job]:
        async with self._ledger.begin() as session:
            return await jobs.recent(session, self.principal, qpu=qpu, limit=limit)

    async def members(
        self, project: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> list[str]:
        """A project's members, after an operator's changes."""
        async with self._ledger.begin() as session:
            for user in add:
                await accounts.add_member(session, self.principal, project, user)
            for user in remove:
                await accounts.remove_member(session, self.principal, project, user)
            return await accounts.members(session, self.principal, project)

    async def qpus(self) -> list[RegisteredQpu]:
        async with self._ledger.begin() as session:
            return await qpus.every(session)

    async def queue_lengths(self) -> dict[str, int]:
        async with self._ledger.begin() as session:
            return await qpus.queue_lengths(session)

    async def states(self, job_ids: Sequence[UUID]) -> dict[UUID, JobState]:
        async with self._ledger.begin() as session:
            return await jobs.states(session, self.principal, job_ids)

    async def wait(self, job_id: UUID, timeout_seconds: float | None = None) -> JobReport:
        """The job once it has ended. Survives restarts of the database.

        Raises `TimeoutError` after `timeout_seconds`; the job goes on.
        """
        async for _ in self.watch([job_id], timeout_seconds):
            pass
        return await self.report(job_id)

    async def watch(
        self, job_ids: Sequence[UUID], timeout_seconds: float | None = None
    ) -> AsyncGenerator[dict[UUID, JobState]]:
        """The jobs' states whenever one changes, until all have ended."""
        seen: dict[UUID, JobState] = {}
        pause = FIRST_LOOK_SECONDS
        async with asyncio.timeout(timeout_seconds):
            with self._ledger.ears.listen(Channel.ENDED, self.principal.user) as news:
                while not seen or not all(state.is_final for state in seen.values()):
                    states = await patiently(lambda: self.states(job_ids))
                    if missing := set(job_ids) - states.keys():
                        raise NotFound(f"There is no job {missing.pop()} of yours")
                    if states != seen:
                        seen, pause = states, FIRST_LOOK_SECONDS
                        yield states
                    else:
                        await within(news, pause)
                        pause = min(pause * 1.2, SLOWEST_LOOK_SECONDS)
