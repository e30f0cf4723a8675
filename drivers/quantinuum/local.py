"""A machine of Quantinuum's on this machine: compiled as for it, run without noise.

By Aer, or by Quantinuum's own emulator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from qpuflow.domain.device import Device
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.executable import Executable
from qpuflow.domain.limits import check_limits
from qpuflow.drivers.base import Outcome, Ticket, Usage
from qpuflow.drivers.forked import ForkedPool
from qpuflow.drivers.own_runs import OwnRuns, RunsHere
from qpuflow.drivers.quantinuum.machines import local_device
from qpuflow.drivers.quantinuum.programs import PRELOAD, written
from qpuflow.drivers.quantinuum.registers import bits_of
from qpuflow.drivers.quantinuum.settings import (
    EMULATOR,
    LOCAL,
    QUBITS,
    QuantinuumSettings,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXECUTION_SECONDS = 1e-5
"""Of one shot of some qubits, on one core."""


class LocalQuantinuumDriver(RunsHere):
    """One machine, used from one event loop."""

    def __init__(self, name: str, settings: QuantinuumSettings) -> None:
        self._name = name
        self._settings = settings
        self._emulated = settings.machine.endswith(EMULATOR)
        self._machine = settings.machine.removeprefix(LOCAL).removesuffix(EMULATOR)
        self._pool = ForkedPool(PRELOAD, settings.lanes)
        self._runs = OwnRuns(name, "quantinuum-local", settings.lanes)

    async def describe(self) -> Device:
        where = "Quantinuum's emulator" if self._emulated else "Aer"
        return local_device(self._name, self._machine, QUBITS[self._machine], where)

    async def submit(self, executables: Sequence[Executable], shots: int, token: str) -> Ticket:
        if known := self._runs.find(token):
            return known
        check_limits(await self.describe(), programs=len(executables), shots=shots)
        return self._runs.start(token, lambda: self._simulate(tuple(executables), shots))

    async def estimate(self, executables: Sequence[Executable], shots: int) -> Estimate:
        executions = shots * sum(len(executable.points) for executable in executables)
        return Estimate(seconds=0.1 + executions * EXECUTION_SECONDS)

    async def calibration(self) -> Mapping[str, Any]:
        return {}

    async def _simulate(self, executables: tuple[Executable, ...], shots: int) -> Outcome:
        from qpuflow.drivers.shots import dataset_of_bits

        began = perf_counter()
        level = self._settings.optimisation_level
        simulate = emulated if self._emulated else simulated
        bits = await self._pool.run(simulate, executables, shots, level)
        datasets = tuple(
            dataset_of_bits(executable, points, qpu=self._name, model=self._machine)
            for executable, points in zip(executables, bits, strict=True)
        )
        return Outcome(datasets, Usage(seconds=perf_counter() - began))


def simulated(
    executables: Sequence[Executable], shots: int, level: int
) -> list[list[NDArray[np.uint8]]]:
    """In a process of its own: for each executable the bits of each point. By Aer."""
    return _bits(executables, shots, level, _by_aer)


def emulated(
    executables: Sequence[Executable], shots: int, level: int
) -> list[list[NDArray[np.uint8]]]:
    """The same by Quantinuum's own emulator."""
    from qpuflow.drivers.quantinuum.pecos import run

    return _bits(executables, shots, level, run)


def _by_aer(source: str, shots: int, seed: int | None) -> Mapping[str, list[str]]:
    from qpuflow.drivers.quantinuum.emulation import OPENQASM, run, translated

    return run(translated(OPENQASM, source), shots, seed)


def _bits(
    executables: Sequence[Executable],
    shots: int,
    level: int,
    run: Callable[[str, int, int | None], Mapping[str, list[str]]],
) -> list[list[NDArray[np.uint8]]]:
    """`run` is given the source of a point, and how often and from which seed to run it."""
    return [
        [
            bits_of(one.registers, shots, run(point.source, shots, one.seed))
            for point in written([one], level)
        ]
        for one in executables
    ]
