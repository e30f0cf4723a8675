"""Sessions: one job after the other on one QPU, each with the result of the one before.

The jobs of a session join the batch that lingers for its user's next one, so that only the first
of them waits for a flow run to start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Self, overload
from uuid import UUID, uuid4

from qpuflow.client.patience import patiently
from qpuflow.client.programs import as_programs
from qpuflow.domain.admission import requested
from qpuflow.domain.errors import NoResult, Unavailable
from qpuflow.domain.job import JobState
from qpuflow.domain.principal import Principal
from qpuflow.domain.report import JobReport, ProgramReport
from qpuflow.domain.request import JobOptions, JobRequest
from qpuflow.ledger import batches, reports
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.signals import Channel, within
from qpuflow.ledger.submissions import Accepted
from qpuflow.tasks.admission import Journey, admit
from qpuflow.tasks.known import Known

if TYPE_CHECKING:
    from qpuflow.client.programs import OneProgram

LOOK_ANYWAY_SECONDS = 1.0
"""In case that the word of a job's end was not heard."""
_log = logging.getLogger("qpuflow.client")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for the jobs of a session that do not say otherwise."""

    qpu: str
    shots: int
    options: JobOptions
    key: str | None


class Session:
    """What `Connection.session` gives. Several jobs may be under way at once."""

    def __init__(
        self, ledger: Ledger, principal: Principal, known: Known, defaults: Defaults
    ) -> None:
        self._ledger = ledger
        self._principal = principal
        self._known = known
        self._defaults = defaults
        self._numbers = count()
        self._batch_id: UUID | None = None

    async def __aenter__(self) -> Self:
        await self._known.qpu(self._defaults.qpu)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @overload
    async def run(
        self,
        programs: OneProgram,
        *,
        shots: int | None = None,
        options: JobOptions | None = None,
        key: str | None = None,
        timeout_seconds: float | None = None,
    ) -> ProgramReport: ...

    @overload
    async def run(
        self,
        programs: Sequence[OneProgram],
        *,
        shots: int | None = None,
        options: JobOptions | None = None,
        key: str | None = None,
        timeout_seconds: float | None = None,
    ) -> list[ProgramReport]: ...

    async def run(
        self,
        programs: OneProgram | Sequence[OneProgram],
        *,
        shots: int | None = None,
        options: JobOptions | None = None,
        key: str | None = None,
        timeout_seconds: float | None = None,
    ) -> ProgramReport | list[ProgramReport]:
        """One job: the result of its program, or of each where a list was given.

        In a session with a key the job's is that key and `key`, or the number of the run. A job
        that is there already is answered with its result.

        Raises `InputError`, `NoResult` if it failed or was cancelled, and `TimeoutError`, after
        which it goes on.
        """
        request = requested(
            programs=as_programs(programs),
            qpu=self._defaults.qpu,
            shots=self._defaults.shots if shots is None else shots,
            options=options or self._defaults.options,
            key=self._key(key),
        )
        async with asyncio.timeout(timeout_seconds):
            report = await self._ended(request)
        if report.state is not JobState.COMPLETED:
            raise NoResult(f"Job {report.job_id} {report.state.value}: {report.reason}")
        one = isinstance(programs, str) or not isinstance(programs, Sequence)
        return report.programs[0] if one else report.programs

    def _key(self, key: str | None) -> str:
        """Always one, so that a submission that got no answer can be repeated."""
        if self._defaults.key is None:
            return key or uuid4().hex
        return f"{self._defaults.key}/{key or next(self._numbers)}"

    async def _ended(self, request: JobRequest) -> JobReport:
        with self._ledger.ears.listen(Channel.ENDED, self._principal.user) as news:
            accepted = await patiently(lambda: self._admit(request))
            self._batch_id = accepted.batch_id
            if accepted.is_new:
                await within(news, LOOK_ANYWAY_SECONDS)
            while True:
                report = await patiently(lambda: self._report(accepted.job_id))
                if report.state.is_final:
                    return report
                await within(news, LOOK_ANYWAY_SECONDS)

    async def _admit(self, request: JobRequest) -> Accepted:
        journey = Journey(self._defaults.qpu)
        return await admit(self._ledger, self._principal, request, journey, self._known)

    async def _report(self, job_id: UUID) -> JobReport:
        return await reports.read(self._ledger, self._principal, job_id)

    async def close(self) -> None:
        """Have the carrier end, rather than wait for more jobs."""
        if self._batch_id is None:
            return
        try:
            async with self._ledger.begin() as session:
                await batches.leave(session, self._batch_id)
        except Unavailable as error:
            _log.info("The carrier ends by itself, after it has lingered: %s", error)
