"""The asynchronous client: one open connection to a qpuflow installation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from qpuflow.client.booking import Bookings
from qpuflow.domain.endpoints import find_endpoints
from qpuflow.domain.errors import InputError, NotFound, OperatorNeeded, Unavailable
from qpuflow.domain.job import Job, JobState
from qpuflow.domain.principal import Principal, Role
from qpuflow.domain.report import JobReport
from qpuflow.domain.request import JobRequest
from qpuflow.domain.settings import Settings
from qpuflow.flows.open_ledger import open_ledger
from qpuflow.ledger import jobs, programs, qpus, reports, results
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.jobs import Accepted
from qpuflow.ledger.qpus import RegisteredQpu
from qpuflow.tasks.admission import Journey, admit

if TYPE_CHECKING:
    import xarray as xr

FIRST_LOOK_SECONDS = 0.05
SLOWEST_LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 120.0
"""How long a wait bears with a database that does not answer, as during a restart."""


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
    api = find_endpoints(settings).prefect_api_url
    async with open_ledger(settings) as ledger:
        yield Connection(ledger, settings, api)


class Connection:
    """What a user can do. Every call is made as the user and project of the settings."""

    def __init__(self, ledger: Ledger, settings: Settings, prefect_api_url: str) -> None:
        self._ledger = ledger
        self._prefect_api_url = prefect_api_url
        roles = {Role.USER, Role.OPERATOR} if settings.operator else {Role.USER}
        self.principal = Principal(
            settings.user, settings.project or settings.user, frozenset(roles), via="client"
        )
        self.bookings = Bookings(ledger, self.principal, settings)

    async def submit(self, request: JobRequest) -> Receipt:
        """Accept a job. When this returns it is not lost any more, whatever crashes.

        Raises `InputError` when something in the request must be mended; nothing is kept then.
        """
        if request.qpu is None:
            raise InputError("The request names no QPU", remedy="See `qpuflow qpus`.")
        accepted = await admit(
            self._ledger, self._principal_of(request), request, Journey(request.qpu)
        )
        return await self._carried(accepted)

    def _principal_of(self, request: JobRequest) -> Principal:
        if request.user not in (None, self.principal.user):
            raise InputError(
                f"You submit as {self.principal.user!r}, the request is {request.user!r}'s",
                remedy="Leave `user` empty.",
            )
        project = request.project or self.principal.project
        return Principal(self.principal.user, project, self.principal.roles, self.principal.via)

    async def _carried(self, accepted: Accepted) -> Receipt:
        # Prefect takes a second to import, and no other call needs it.
        from prefect.settings import PREFECT_API_URL, temporary_settings

        from qpuflow.flows.outbox import create_runs

        try:
            with temporary_settings({PREFECT_API_URL: self._prefect_api_url}):
                await create_runs(self._ledger, accepted.batch_id)
        except (Unavailable, OperatorNeeded) as error:
            # The job is written: whatever is wrong with Prefect delays it, and refuses nothing.
            return Receipt(accepted.job_id, accepted.is_new, str(error))
        return Receipt(accepted.job_id, accepted.is_new)

    async def find(self, text: str) -> UUID:
        """The id of a job from its key or the first characters of its id."""
        async with self._ledger.begin() as session:
            return await jobs.resolve(session, self.principal, text)

    async def report(self, job_id: UUID) -> JobReport:
        """The job as it is now, with its results if it has completed."""
        return await reports.read(self._ledger, self.principal, job_id)

    async def status(self, job_id: UUID) -> JobReport:
        """The job as it is now, with its history and without its results."""
        return await reports.status(self._ledger, self.principal, job_id)

    async def datasets(self, job_id: UUID) -> list[xr.Dataset]:
        """One dataset a program, in order; layout in `qpuflow.domain.result`."""
        async with self._ledger.begin() as session:
            await jobs.find(session, self.principal, job_id)
            return await results.read(self._ledger, session, job_id)

    async def executed(self, job_id: UUID) -> dict[int, list[bytes]]:
        """The compiled circuits that really ran, as QPY, by position of their program."""
        async with self._ledger.begin() as session:
            await jobs.find(session, self.principal, job_id)
            return await programs.executed(self._ledger, session, job_id)

    async def cancel(self, job_id: UUID) -> JobState:
        """Cancel a queued job at once, and have a running one stopped."""
        async with self._ledger.begin() as session:
            return await jobs.request_cancel(session, self.principal, job_id)

    async def jobs(self, *, qpu: str | None = None, limit: int = 50) -> list[Job]:
        async with self._ledger.begin() as session:
            return await jobs.recent(session, self.principal, qpu=qpu, limit=limit)

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
        pause, answered = FIRST_LOOK_SECONDS, time.monotonic()
        seen: dict[UUID, JobState] = {}
        async with asyncio.timeout(timeout_seconds):
            while True:
                try:
                    states, answered = await self.states(job_ids), time.monotonic()
                except Unavailable:
                    if time.monotonic() - answered > PATIENCE_SECONDS:
                        raise
                    await asyncio.sleep(SLOWEST_LOOK_SECONDS)
                    continue
                if missing := set(job_ids) - states.keys():
                    raise NotFound(f"There is no job {missing.pop()} of yours")
                if states != seen:
                    seen, pause = states, FIRST_LOOK_SECONDS
                    yield states
                if all(state.is_final for state in seen.values()):
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 1.2, SLOWEST_LOOK_SECONDS)
