"""A backend in IBM's cloud: one sampler job for all programs, found again by its tag."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from qpuflow.domain.device import Device
from qpuflow.domain.errors import InputError, Unavailable
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.executable import Executable
from qpuflow.domain.limits import check_limits
from qpuflow.domain.max_cost import most_in
from qpuflow.domain.quota import QPU_SECONDS
from qpuflow.domain.vendor_calendar import VendorCalendar
from qpuflow.drivers.base import Outcome, RemoteState, RemoteStatus, Ticket, Usage
from qpuflow.drivers.forked import ForkedPool
from qpuflow.drivers.ibm.backends import BackendFacts
from qpuflow.drivers.ibm.pubs import PRELOAD, Sampled, decoded, encoded
from qpuflow.drivers.ibm.runtime import Runtime
from qpuflow.drivers.ibm.sessions import events_of
from qpuflow.drivers.ibm.settings import IbmSettings
from qpuflow.drivers.waiting import Pace, Polling, forward, polled

_S = RemoteState
STATES: Mapping[str, RemoteState] = {
    "QUEUED": _S.QUEUED,
    "RUNNING": _S.RUNNING,
    "COMPLETED": _S.COMPLETED,
    "FAILED": _S.FAILED,
    "CANCELLED": _S.CANCELLED,
}

RAN_TOO_LONG = 1305
"""IBM cancels such a job, but it is its program's failure."""

FACTS_SECONDS = 300.0
"""How long what a backend says of itself is good for checks before a submission."""

MAX_EXECUTIONS = 10_000_000
"""Shots times points of one job. https://quantum.cloud.ibm.com/docs/guides/job-limits"""

RESULT_ATTEMPTS = 4

_log = logging.getLogger("prefect.qpuflow")


class CloudIbmDriver:
    """One backend. Programs are encoded, and results decoded, in a forked process."""

    def __init__(self, name: str, settings: IbmSettings, secrets: Mapping[str, str]) -> None:
        self._name = name
        self._settings = settings
        self._runtime = Runtime(name, settings, secrets)
        self._pool = ForkedPool(PRELOAD, size=1)
        self._polling = Polling(Pace(first_seconds=settings.poll_seconds), patience_seconds=3600.0)
        self._facts: tuple[float, BackendFacts] | None = None

    async def describe(self) -> Device:
        return (await self._asked()).device(self._name)

    async def _asked(self) -> BackendFacts:
        path = f"/backends/{self._settings.backend}"
        parts = ("configuration", "properties", "status")
        answers = await asyncio.gather(*(self._runtime.read(f"{path}/{part}") for part in parts))
        facts = BackendFacts(*(answer.json() for answer in answers))
        self._facts = (time.monotonic(), facts)
        return facts

    async def _known(self) -> BackendFacts:
        if self._facts is not None and time.monotonic() - self._facts[0] < FACTS_SECONDS:
            return self._facts[1]
        return await self._asked()

    async def submit(self, executables: Sequence[Executable], shots: int, token: str) -> Ticket:
        await self._check(executables, shots)
        params = await self._pool.run(encoded, tuple(executables), shots)
        return Ticket(await self._runtime.submit(params, token, self._most(executables)), token)

    def _most(self, executables: Sequence[Executable]) -> float | None:
        """Seconds that the job may take."""
        return most_in(QPU_SECONDS, executables[0].max_cost, self._settings.max_execution_seconds)

    async def _check(self, executables: Sequence[Executable], shots: int) -> None:
        facts = await self._known()
        check_limits(facts.device(self._name), programs=len(executables), shots=shots)
        executions = _executions(executables, shots)
        if executions > MAX_EXECUTIONS:
            raise InputError(
                f"{executions:,} executions, and IBM takes at most {MAX_EXECUTIONS:,} in one job",
                where=self._name,
                remedy="Split the job.",
            )
        seconds, most = facts.estimate_seconds(executions), self._most(executables)
        if most is not None and seconds > most:
            raise InputError(
                f"The job would take about {seconds:.0f} s of QPU time, more than the {most:g} "
                "allowed",
                where=self._name,
                remedy="Ask for fewer shots or points, or let the QPU's owner raise the limit.",
            )

    async def find(self, token: str) -> Ticket | None:
        """By its tag. A job that lists do not show within the patience was not accepted."""
        until = time.monotonic() + self._settings.settle_seconds
        while True:
            answer = await self._runtime.read("/jobs", tags=token, exclude_params="true")
            if found := [job for job in answer.json()["jobs"] if token in job.get("tags", ())]:
                return Ticket(self._oldest(found)["id"], token)
            if time.monotonic() > until:
                return None
            await asyncio.sleep(min(2.0, self._settings.settle_seconds / 10))

    def _oldest(self, jobs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        if len(jobs) > 1:
            _log.error("%s has %d jobs of one submission: %s", self._name, len(jobs), jobs)
        return min(jobs, key=lambda job: str(job.get("created", "")))

    def watch(self, ticket: Ticket) -> AsyncIterator[RemoteStatus]:
        async def ask() -> RemoteStatus | None:
            answer = await self._runtime.ask(f"/jobs/{ticket.id}", exclude_params="true")
            told = _json(answer.text)
            return _status(told) or await self._ended(ticket, _word(told))

        return forward(polled(ask, self._polling))

    async def _ended(self, ticket: Ticket, word: str) -> RemoteStatus | None:
        """Of a job in an unknown state: what its end and its result tell, if it has any."""
        metrics = _json((await self._runtime.ask(f"/jobs/{ticket.id}/metrics")).text)
        if (metrics.get("timestamps") or {}).get("finished") is None:
            return None
        if (await self._runtime.ask(f"/jobs/{ticket.id}/results")).text:
            return RemoteStatus(_S.COMPLETED)
        return RemoteStatus(_S.FAILED, f"IBM says {word!r}, and there is no result")

    async def fetch(self, ticket: Ticket) -> Outcome:
        from qpuflow.drivers.shots import dataset_of_bits

        sampled = await self._sampled(ticket)
        datasets = tuple(
            dataset_of_bits(
                one.outline.executable,
                one.bits,
                qpu=self._name,
                backend=self._settings.backend,
                ibm_job=ticket.id,
            )
            for one in sampled
        )
        return Outcome(datasets, Usage(await self._seconds(ticket)))

    async def _sampled(self, ticket: Ticket) -> list[Sampled]:
        for left in reversed(range(RESULT_ATTEMPTS)):
            job = await self._runtime.read(f"/jobs/{ticket.id}")
            results = await self._runtime.read(f"/jobs/{ticket.id}/results")
            try:
                return await self._pool.run(decoded, job.text, results.text)
            except Unavailable:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _seconds(self, ticket: Ticket) -> float:
        """What IBM charges for."""
        metrics = (await self._runtime.read(f"/jobs/{ticket.id}/metrics")).json()
        usage = metrics.get("usage") or {}
        told = usage.get("qpu_charge_time_seconds", usage.get("quantum_seconds"))
        return float(told or 0.0)

    async def cancel(self, ticket: Ticket) -> None:
        with suppress(InputError):  # finished, or being cancelled, already
            await self._runtime.post(f"/jobs/{ticket.id}/cancel")

    async def estimate(self, executables: Sequence[Executable], shots: int) -> Estimate:
        facts = await self._known()
        return Estimate(facts.estimate_seconds(_executions(executables, shots)))

    async def calibration(self) -> Mapping[str, Any]:
        return (await self._known()).properties

    async def vendor_calendar(self, now: datetime) -> VendorCalendar:
        """The time of the session, if jobs run in one."""
        session_id = self._settings.session_id
        if session_id is None:
            return VendorCalendar("ibm", ())
        told = (await self._runtime.read(f"/sessions/{session_id}")).json()
        return VendorCalendar("ibm", events_of(told, now))

    async def close(self) -> None:
        self._pool.close()
        await self._runtime.close()


def _executions(executables: Sequence[Executable], shots: int) -> int:
    return shots * sum(len(executable.points) for executable in executables)


def _json(text: str) -> Mapping[str, Any]:
    import json

    try:
        return json.loads(text)
    except ValueError as error:
        raise Unavailable(f"The answer is not whole: {error}") from error


def _state(job: Mapping[str, Any]) -> Mapping[str, Any]:
    return job.get("state") or {"status": job.get("status", "")}


def _word(job: Mapping[str, Any]) -> str:
    return str(_state(job).get("status", ""))


def _status(job: Mapping[str, Any]) -> RemoteStatus | None:
    """None for a word that IBM did not have when this was written."""
    told = _state(job)
    state = STATES.get(_word(job).split(" ")[0].upper())
    if state is None:
        return None
    code = told.get("reason_code") or told.get("reasonCode")
    if state is _S.CANCELLED and code == RAN_TOO_LONG:
        state = _S.FAILED
    reason = str(told.get("reason") or "")
    return RemoteStatus(state, f"{reason} (code {code})" if code else reason)
