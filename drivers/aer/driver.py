"""The Aer driver: tickets in this process, simulations in forked ones."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qpuflow.domain.device import Device
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
from qpuflow.drivers.base import Outcome, Ticket, Usage
from qpuflow.drivers.forked import ForkedPool
from qpuflow.drivers.own_runs import OwnRuns, RunsHere
from qpuflow.drivers.settings import validated

if TYPE_CHECKING:
    import xarray as xr


KEPT_PLANS = 500


class AerDriver(RunsHere):
    """One simulated QPU, used from one event loop."""

    def __init__(
        self,
        name: str,
        settings: Mapping[str, Any] | AerSettings,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        del secrets  # a simulator has none
        self._settings = validated(AerSettings, name, settings)
        self._device = device_of(name, self._settings)
        self._threads = max(1, (os.cpu_count() or 1) // self._settings.lanes)
        # One child more than lanes: estimates are made while every lane simulates.
        self._pool = ForkedPool(PRELOAD, self._settings.lanes + 1)
        self._plans: dict[bytes, tuple[Plan, ...]] = {}
        self._runs = OwnRuns(name, "aer", self._settings.lanes)

    async def describe(self) -> Device:
        return self._device

    async def submit(self, executables: Sequence[Executable], shots: int, token: str) -> Ticket:
        if known := await self.find(token):
            return known
        plans = await self._plan(executables, shots)
        return self._runs.start(token, lambda: self._simulate(tuple(executables), plans, shots))

    async def estimate(self, executables: Sequence[Executable], shots: int) -> Estimate:
        plans = await self._plan(executables, shots)
        return Estimate(seconds=estimated_seconds(plans, shots))

    async def calibration(self) -> Mapping[str, Any]:
        return {"noise": self._settings.noise.model_dump()} if self._settings.noise else {}

    async def _plan(self, executables: Sequence[Executable], shots: int) -> tuple[Plan, ...]:
        """Made once for what is estimated, submitted, and submitted again."""
        check_limits(self._device, programs=len(executables), shots=shots)
        wanted = tuple(executables)
        key = hashlib.sha256(pickle.dumps((wanted, shots))).digest()
        if (known := self._plans.get(key)) is not None:
            return known
        self._plans[key] = plans = await self._pool.run(plan, self._settings, wanted, shots)
        if len(self._plans) > KEPT_PLANS:
            del self._plans[next(iter(self._plans))]
        return plans

    async def _simulate(
        self, executables: tuple[Executable, ...], plans: tuple[Plan, ...], shots: int
    ) -> Outcome:
        simulated = await self._pool.run(
            simulate, self._settings, executables, plans, shots, self._threads
        )
        datasets = tuple(
            self._dataset(executable, shots, one)
            for executable, one in zip(executables, simulated, strict=True)
        )
        return Outcome(datasets, Usage(seconds=sum(one.seconds for one in simulated)))

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
