"""A machine in Quantinuum's cloud: one job there for each circuit, found again by its name."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import stamina

from qpuflow.domain.device import Device
from qpuflow.domain.errors import (
    Conflict,
    InputError,
    NotFound,
    OperatorNeeded,
    PartlyAccepted,
    Refused,
    Unavailable,
)
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.executable import Executable
from qpuflow.domain.limits import check_limits
from qpuflow.domain.max_cost import most_in
from qpuflow.domain.vendor_calendar import AHEAD, VendorCalendar
from qpuflow.drivers import http
from qpuflow.drivers.base import Outcome, RemoteStatus, Ticket, Usage
from qpuflow.drivers.forked import ForkedPool
from qpuflow.drivers.outline import Outline
from qpuflow.drivers.quantinuum.api import Api
from qpuflow.drivers.quantinuum.calendar import events_of
from qpuflow.drivers.quantinuum.credits import UNIT, cost
from qpuflow.drivers.quantinuum.emulation import OPENQASM
from qpuflow.drivers.quantinuum.machines import device_of
from qpuflow.drivers.quantinuum.names import Found, found_under, name_of
from qpuflow.drivers.quantinuum.programs import PRELOAD, Written, written
from qpuflow.drivers.quantinuum.registers import bits_of
from qpuflow.drivers.quantinuum.settings import QuantinuumSettings
from qpuflow.drivers.quantinuum.watching import Watching
from qpuflow.drivers.waiting import forward

FACTS_SECONDS = 300.0
"""How long what a machine says of itself is good for checks before a submission."""

REMEMBERED = 1000

PART_ATTEMPTS = 6
"""Of a circuit that is refused after others of its job were accepted."""

RESULT_ATTEMPTS = 4

_log = logging.getLogger("prefect.qpuflow")


class CloudQuantinuumDriver:
    """One machine. Circuits are compiled in a forked process."""

    def __init__(self, name: str, settings: QuantinuumSettings, secrets: Mapping[str, str]) -> None:
        self._name = name
        self._settings = settings
        self._api = Api(name, settings, secrets)
        self._watching = Watching(self._api, settings)
        self._pool = ForkedPool(PRELOAD, size=1)
        self._machine: tuple[float, Mapping[str, Any]] | None = None
        self._begun: dict[str, Found] = {}
        """Submissions of which `find` saw a part only."""
        self._submitted: dict[str, dict[str, Any]] = {}
        """What tickets of this process have in them that Quantinuum does not keep."""

    async def describe(self) -> Device:
        self._machine = None
        machine = await self._known()
        state = await self._api.read(f"machine/{self._settings.machine}")
        return device_of(self._name, machine, str(state["state"]))

    async def _known(self) -> Mapping[str, Any]:
        if self._machine is None or time.monotonic() - self._machine[0] > FACTS_SECONDS:
            machines = await self._api.read("machine/", config="true")
            self._machine = time.monotonic(), self._listed(machines)
        return self._machine[1]

    def _listed(self, machines: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        wanted = self._settings.machine
        for machine in machines:
            if machine["name"] == wanted:
                return machine
        names = ", ".join(str(machine["name"]) for machine in machines)
        raise NotFound(
            f"This account has no machine {wanted}", where=self._name, remedy=f"It has {names}."
        )

    async def submit(self, executables: Sequence[Executable], shots: int, token: str) -> Ticket:
        try:
            programs = await self._prepared(executables, shots)
        except Unavailable as error:
            # Nothing is sent yet; of a job that was begun before, some parts are there.
            raise http.not_sent(error, submitting=token not in self._begun) from error
        created = self._begun.pop(token, Found()).jobs
        for index in range(len(programs)):
            if index not in created:
                await self._add(created, programs, index, shots, token)
        outlines = [Outline.of(one).model_dump(mode="json") for one in executables]
        self._remember(token, {"outlines": outlines})
        return _ticket(token, created, self._submitted[token])

    async def _prepared(self, executables: Sequence[Executable], shots: int) -> list[Written]:
        device = device_of(self._name, await self._known(), "online")
        check_limits(device, programs=len(executables), shots=shots)
        programs = await self._written(executables)
        self._check_cost(programs, shots)
        return programs

    def _remember(self, token: str, details: dict[str, Any]) -> None:
        self._submitted[token] = details
        while len(self._submitted) > REMEMBERED:
            del self._submitted[next(iter(self._submitted))]

    async def _written(self, executables: Sequence[Executable]) -> list[Written]:
        level = self._settings.optimisation_level
        return await self._pool.run(written, tuple(executables), level)

    def _check_cost(self, programs: Sequence[Written], shots: int) -> None:
        most, costs = self._most(programs), _cost(programs, shots)
        if most is not None and costs > most:
            raise InputError(
                f"The job would cost about {costs:.2f} HQC, more than the {most:g} allowed",
                where=self._name,
                remedy="Ask for fewer shots or programs, or let the QPU's owner raise the limit.",
            )

    def _most(self, programs: Sequence[Written]) -> float | None:
        """HQC that the job may cost."""
        return most_in(UNIT, programs[0].max_cost, self._settings.max_cost_hqc)

    async def _add(
        self,
        created: dict[int, str],
        programs: Sequence[Written],
        index: int,
        shots: int,
        token: str,
    ) -> None:
        """Only while it is certain that nothing was created does a refusal mean just that."""
        body = self._body(programs, index, shots, token, first=created.get(0))
        attempts = PART_ATTEMPTS if created else 1
        try:
            async for attempt in stamina.retry_context(on=_may_go_next_time, attempts=attempts):
                with attempt:
                    created[index] = await self._api.submit(body)
        except Refused as error:
            if not created:
                raise
            message = f"{len(created)} circuits are accepted, and then: {error}"
            raise PartlyAccepted(message, where=self._name) from error
        except InputError:
            await self._cancel(list(created.values()))
            raise

    def _body(
        self,
        programs: Sequence[Written],
        index: int,
        shots: int,
        token: str,
        first: str | None,
    ) -> dict[str, Any]:
        settings = self._settings
        body: dict[str, Any] = {
            "name": name_of(token, index, len(programs)),
            "count": shots,
            "machine": settings.machine,
            "language": OPENQASM,
            "program": programs[index].source,
            "priority": "normal",
            "options": {
                "simulator": "state-vector",
                "no-opt": True,
                "noreduce": True,
                "error-model": settings.error_model,
                "tket": {},
            },
        }
        if settings.group is not None:
            body["group"] = settings.group
        most = self._most(programs)
        if most is not None:
            body["max-cost"] = most
            if settings.batches and len(programs) > 1:
                body["batch-exec"] = first or most
                if index == len(programs) - 1:
                    body["batch-end"] = True
        return body

    async def find(self, token: str) -> Ticket | None:
        """By name. What lists do not show within the patience was not accepted.

        `PartlyAccepted` when some circuits are there and others not to be seen.
        """
        if not self._settings.jobs_by_name:
            raise Unavailable(
                "This API does not list jobs by name",
                where=self._name,
                remedy=f"Look for jobs named {token} in Quantinuum's portal, and tell "
                "`qpuflow settle` what you saw.",
            )
        until = time.monotonic() + self._settings.settle_seconds
        while True:
            found = await self._seen(token)
            if found.is_whole or time.monotonic() > until:
                break
            await asyncio.sleep(min(2.0, self._settings.settle_seconds / 10))
        if found.doubles:
            _log.error("%s has jobs twice under one name: %s", self._name, found.doubles)
        if not found.jobs:
            return None
        if not found.is_whole:
            self._begun[token] = found
            message = f"{len(found.jobs)} of {found.count} circuits are to be seen"
            raise PartlyAccepted(message, where=self._name)
        return _ticket(token, found.jobs, self._submitted.get(token, {}))

    async def _seen(self, token: str) -> Found:
        """A list that is no list, or is refused, says nothing about what was accepted."""
        try:
            return found_under(token, await self._api.read("job", name=token))
        except (InputError, OperatorNeeded, AttributeError, TypeError, KeyError) as error:
            raise Unavailable(f"Its list of jobs cannot be read: {error!r}") from error

    def watch(self, ticket: Ticket) -> AsyncIterator[RemoteStatus]:
        return forward(self._watching.all(_jobs(ticket)))

    async def fetch(self, ticket: Ticket) -> Outcome:
        """Of a ticket that `submit` made, in whatever process."""
        if "outlines" not in ticket.details:
            raise Conflict(
                f"What was submitted as {ticket.token} is not known any more", where=self._name
            )
        outlines = [Outline.model_validate(one) for one in ticket.details["outlines"]]
        return await self.fetch_for(ticket, [one.executable for one in outlines])

    async def fetch_for(self, ticket: Ticket, executables: Sequence[Executable]) -> Outcome:
        from qpuflow.drivers.shots import dataset_of_bits

        jobs = [await self._completed(job) for job in _jobs(ticket)]
        rest = list(zip(_jobs(ticket), jobs, strict=True))
        datasets: list[Any] = []
        for executable in executables:
            mine, rest = rest[: len(executable.points)], rest[len(executable.points) :]
            datasets.append(
                dataset_of_bits(
                    executable,
                    [_bits(executable, job) for _, job in mine],
                    qpu=self._name,
                    machine=self._settings.machine,
                    quantinuum_jobs=" ".join(name for name, _ in mine),
                )
            )
        return Outcome(tuple(datasets), _usage(jobs))

    async def _completed(self, job: str) -> Mapping[str, Any]:
        """At times a state that is over is told once more, and then without a result."""
        async for attempt in stamina.retry_context(on=Unavailable, attempts=RESULT_ATTEMPTS):
            with attempt:
                told = await self._api.read(f"job/{job}")
                if not told.get("results"):
                    raise Unavailable(f"Job {job} is {told.get('status')} and has no result")
                return told
        raise AssertionError("stamina ends with a result or an error")

    async def cancel(self, ticket: Ticket) -> None:
        await self._cancel(_jobs(ticket))

    async def _cancel(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            with suppress(InputError):  # finished, or being cancelled, already
                await self._api.post(f"job/{job}/cancel")

    async def estimate(self, executables: Sequence[Executable], shots: int) -> Estimate:
        programs = await self._written(executables)
        seconds = len(programs) * shots * self._settings.shot_seconds
        return Estimate(seconds, _cost(programs, shots), UNIT)

    async def calibration(self) -> Mapping[str, Any]:
        return (await self._known()).get("noise_specs", {})

    async def vendor_calendar(self, now: datetime) -> VendorCalendar:
        days = (f"{day:%Y-%m-%d}" for day in (now, now + AHEAD))
        told = await self._api.calendar(*days)
        return VendorCalendar("quantinuum", events_of(told, self._settings.machine))

    async def close(self) -> None:
        self._pool.close()
        await self._api.close()


def _may_go_next_time(error: Exception) -> bool | float:
    return isinstance(error, Refused) and (error.retry_after_seconds or True)


def _cost(programs: Sequence[Written], shots: int) -> float:
    return sum(cost(program.operations, shots) for program in programs)


def _ticket(token: str, created: Mapping[int, str], details: Mapping[str, Any]) -> Ticket:
    jobs = [created[index] for index in sorted(created)]
    return Ticket(jobs[0], token, {"jobs": jobs, **details})


def _jobs(ticket: Ticket) -> list[str]:
    """An operator who settled the job gave them as one text."""
    return ticket.details.get("jobs") or ticket.id.split()


def _bits(executable: Executable, job: Mapping[str, Any]) -> Any:
    results: Mapping[str, Sequence[str]] = job["results"]
    return bits_of(executable.registers, len(next(iter(results.values()))), results)


def _usage(jobs: Sequence[Mapping[str, Any]]) -> Usage:
    """From the start of each circuit to its result, and what Quantinuum charges."""
    seconds = sum(_seconds(job) for job in jobs)
    return Usage(seconds, sum(float(job.get("cost") or 0.0) for job in jobs), UNIT)


def _seconds(job: Mapping[str, Any]) -> float:
    try:
        start, end = (datetime.fromisoformat(job[key]) for key in ("start-date", "result-date"))
    except (KeyError, TypeError, ValueError):
        return 0.0
    return max(0.0, (end - start).total_seconds())
