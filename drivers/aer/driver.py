"""The Aer driver: tickets in this process, simulations in forked ones."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic import ValidationError

from qpuflow.domain.device import Device
from qpuflow.domain.errors import Conflict, InputError, NotFound
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.executable import Executable
from qpuflow.domain.limits import check_limits
from qpuflow.drivers.aer.devices import device_of
from qpuflow.drivers.aer.execution import (
    PRELOAD,
    Plan,
    Simulated,
    estimated_seconds,
    plan,
    simulate,
)
from qpuflow.drivers.aer.settings import AerSettings
from qpuflow.drivers.base import Outcome, RemoteState, RemoteStatus, Ticket, Usage
from qpuflow.drivers.forked import ForkedPool

if TYPE_CHECKING:
    import xarray as xr

KEPT_RUNS = 100
"""Finished runs remembered for a late `fetch`; older ones are LOST, and may be run again."""


@dataclass(frozen=True, slots=True)
class _Run:
    ticket: Ticket
    executables: tuple[Executable, ...]
    shots: int
    started: asyncio.Event
    task: asyncio.Task[tuple[Simulated, ...]]

    def status(self) -> RemoteStatus:
        if not self.task.done():
            running = self.started.is_set()
            return RemoteStatus(RemoteState.RUNNING if running else RemoteState.QUEUED)
        if self.task.cancelled():
            return RemoteStatus(RemoteState.CANCELLED)
        if error := self.task.exception():
            return RemoteStatus(RemoteState.FAILED, str(error))
        return RemoteStatus(RemoteState.COMPLETED)


class AerDriver:
    """One simulated QPU, used from one event loop."""

    def __init__(
        self,
        name: str,
        settings: Mapping[str, Any] | AerSettings,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        del secrets  # a simulator has none
        self._settings = _validated(name, settings)
        self._device = device_of(name, self._settings)
        self._threads = max(1, (os.cpu_count() or 1) // self._settings.lanes)
        # One child more than lanes: estimates are made while every lane simulates.
        self._pool = ForkedPool(PRELOAD, self._settings.lanes + 1)
        self._lanes = asyncio.Semaphore(self._settings.lanes)
        self._runs: dict[str, _Run] = {}

    async def describe(self) -> Device:
        return self._device

    async def submit(self, executables: Sequence[Executable], shots: int, token: str) -> Ticket:
        if known := await self.find(token):
            return known
        await self._plan(executables, shots)
        ticket = Ticket(id=f"aer-{uuid4()}", token=token)
        started = asyncio.Event()
        work = self._simulate(tuple(executables), shots, started)
        task = asyncio.create_task(work, name=ticket.id)
        self._forget_old_runs()
        self._runs[token] = _Run(ticket, tuple(executables), shots, started, task)
        return ticket

    async def find(self, token: str) -> Ticket | None:
        run = self._runs.get(token)
        return run and run.ticket

    async def watch(self, ticket: Ticket) -> AsyncIterator[RemoteStatus]:
        run = self._runs.get(ticket.token)
        if run is None:
            yield RemoteStatus(RemoteState.LOST, "This process does not know the ticket.")
            return
        if run.status().state is RemoteState.QUEUED:
            yield run.status()
            await _first(run.started.wait(), run.task)
        if not run.task.done():
            yield run.status()
            await asyncio.wait([run.task])
        yield run.status()

    async def fetch(self, ticket: Ticket) -> Outcome:
        run = self._runs.get(ticket.token)
        if run is None:
            raise NotFound(f"Ticket {ticket.id} is unknown", where=self._device.name)
        status = run.status()
        if status.state is not RemoteState.COMPLETED:
            raise Conflict(
                f"Ticket {ticket.id} is {status.state}: {status.message or 'no result'}",
                where=self._device.name,
            )
        simulated = run.task.result()
        datasets = tuple(
            self._dataset(executable, run.shots, one)
            for executable, one in zip(run.executables, simulated, strict=True)
        )
        return Outcome(datasets, Usage(seconds=sum(one.seconds for one in simulated)))

    async def cancel(self, ticket: Ticket) -> None:
        if run := self._runs.get(ticket.token):
            run.task.cancel()
            await asyncio.wait([run.task])

    async def estimate(self, executables: Sequence[Executable], shots: int) -> Estimate:
        plans = await self._plan(executables, shots)
        return Estimate(seconds=estimated_seconds(plans, shots))

    async def calibration(self) -> Mapping[str, Any]:
        return {"noise": self._settings.noise.model_dump()} if self._settings.noise else {}

    async def close(self) -> None:
        tasks = [run.task for run in self._runs.values() if not run.task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._pool.close()

    async def _plan(self, executables: Sequence[Executable], shots: int) -> tuple[Plan, ...]:
        check_limits(self._device, programs=len(executables), shots=shots)
        return await self._pool.run(plan, self._settings, tuple(executables), shots)

    async def _simulate(
        self, executables: tuple[Executable, ...], shots: int, started: asyncio.Event
    ) -> tuple[Simulated, ...]:
        async with self._lanes:
            started.set()
            return await self._pool.run(simulate, self._settings, executables, shots, self._threads)

    def _dataset(self, executable: Executable, shots: int, one: Simulated) -> xr.Dataset:
        from qpuflow.domain.result import dataset_of

        noise = self._settings.noise
        return dataset_of(
            executable,
            shots,
            one.counts,
            one.bits,
            qpu=self._device.name,
            method=one.method,
            seed=one.seed,
            seconds=one.seconds,
            noise=json.dumps(noise.model_dump()) if noise else "none",
            **{f"{package}_version": version for package, version in one.versions.items()},
        )

    def _forget_old_runs(self) -> None:
        finished = [token for token, run in self._runs.items() if run.task.done()]
        for token in finished[: max(0, len(finished) - KEPT_RUNS + 1)]:
            del self._runs[token]


def _validated(name: str, settings: Mapping[str, Any] | AerSettings) -> AerSettings:
    if isinstance(settings, AerSettings):
        return settings
    try:
        return AerSettings.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"Setting {place!r}: {first['msg']}",
            where=f"the settings of {name}",
            remedy=f"The settings are {', '.join(AerSettings.model_fields)}.",
        ) from error


async def _first(event: Any, task: asyncio.Task[Any]) -> None:
    """Return when either is done; the event's waiter is dropped, the task left alone."""
    waiter = asyncio.ensure_future(event)
    try:
        await asyncio.wait([waiter, task], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
