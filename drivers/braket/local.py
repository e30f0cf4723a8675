"""Braket's simulators on this machine: a QPU without an account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from qpuflow.domain.device import Device, Gate, Limits
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.executable import Executable
from qpuflow.domain.limits import check_limits
from qpuflow.drivers.base import Outcome, Ticket, Usage
from qpuflow.drivers.braket.openqasm import BRAKET_NAMES, Written, circuits_of, write
from qpuflow.drivers.braket.results import read
from qpuflow.drivers.braket.settings import BraketSettings
from qpuflow.drivers.forked import ForkedPool
from qpuflow.drivers.own_runs import OwnRuns, RunsHere

PRELOAD = ("braket.default_simulator", "braket.ir.openqasm", "qiskit.qpy")

MAX_QUBITS = {"local:braket_sv": 26, "local:braket_dm": 13}
"""1 GB of amplitudes of 16 bytes."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """Of one executable: for each point what was written and the result document."""

    points: tuple[tuple[Written, bytes], ...]
    seconds: float


class LocalBraketDriver(RunsHere):
    """One simulated QPU, used from one event loop."""

    def __init__(self, name: str, settings: BraketSettings) -> None:
        self._settings = settings
        self._device = _device(name, settings)
        self._pool = ForkedPool(PRELOAD, settings.lanes + 1)
        self._runs = OwnRuns(name, "braket-local", settings.lanes)

    async def describe(self) -> Device:
        return self._device

    async def submit(self, executables: Sequence[Executable], shots: int, token: str) -> Ticket:
        if known := self._runs.find(token):
            return known
        check_limits(self._device, programs=len(executables), shots=shots)
        # Before anything is accepted: what cannot be written is the caller's mistake.
        await self._pool.run(written, tuple(executables))
        return self._runs.start(token, lambda: self._simulate(tuple(executables), shots))

    async def estimate(self, executables: Sequence[Executable], shots: int) -> Estimate:
        programs = await self._pool.run(written, tuple(executables))
        squared = self._settings.device == "local:braket_dm"
        return Estimate(sum(_seconds(one, shots, squared) for points in programs for one in points))

    async def calibration(self) -> Mapping[str, Any]:
        return {}

    async def _simulate(self, executables: tuple[Executable, ...], shots: int) -> Outcome:
        from qpuflow.drivers.shots import dataset_of_bits

        simulated = await self._pool.run(simulate, self._settings.device, executables, shots)
        datasets = tuple(
            dataset_of_bits(
                executable,
                [
                    read(content, program.clbits, executable.num_clbits).bits
                    for program, content in one.points
                ],
                qpu=self._device.name,
                seconds=one.seconds,
            )
            for executable, one in zip(executables, simulated, strict=True)
        )
        return Outcome(datasets, Usage(seconds=sum(one.seconds for one in simulated)))


def _device(name: str, settings: BraketSettings) -> Device:
    gates = (*BRAKET_NAMES, "measure", "reset", "delay")
    size = MAX_QUBITS[settings.device]
    return Device(
        name=name,
        num_qubits=size,
        gates=tuple(Gate(name=gate) for gate in gates),
        limits=Limits(max_qubits=size, max_shots=1_000_000),
        outside_effects=False,
        simulator=True,
        description=f"Amazon Braket's {settings.device.removeprefix('local:')} on this machine",
    )


def written(executables: Sequence[Executable]) -> list[list[Written]]:
    return [[write(circuit) for circuit in circuits_of(one)] for one in executables]


def simulate(device: str, executables: Sequence[Executable], shots: int) -> list[Simulated]:
    """In a process of its own."""
    return [_simulated(device, executable, shots) for executable in executables]


def _simulated(device: str, executable: Executable, shots: int) -> Simulated:
    began = perf_counter()
    programs = [write(circuit) for circuit in circuits_of(executable)]
    points = tuple((one, run(device, one.source, shots, executable.seed)) for one in programs)
    return Simulated(points, perf_counter() - began)


def run(
    device: str,
    source: str,
    shots: int,
    seed: int | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> bytes:
    """Braket's result document for one program."""
    import logging

    import numpy as np
    from braket.default_simulator import DensityMatrixSimulator, StateVectorSimulator
    from braket.ir.openqasm import Program

    # It warns of what the simulators in the cloud lack; this one is asked because it has it.
    logging.getLogger("braket").setLevel(logging.ERROR)
    kind: Any = DensityMatrixSimulator if device.endswith("_dm") else StateVectorSimulator

    class Seeded(kind):
        def initialize_simulation(self, **options: Any) -> Any:
            simulation = super().initialize_simulation(**options)
            simulation._rng_generator = np.random.default_rng(seed)  # noqa: SLF001  it takes no seed
            return simulation

    return (
        Seeded().run(Program(source=source, inputs=dict(inputs or {})), shots=shots).json().encode()
    )


def _seconds(program: Written, shots: int, squared: bool) -> float:
    """Rough, and rather too long than too short. Constants from timings on one core."""
    amplitudes = 2.0 ** (program.qubits * (2 if squared else 1))
    runs = 1 if program.straight else 2
    return 0.02 + runs * program.operations * (2e-4 + 2e-8 * amplitudes) + shots * 1e-6
