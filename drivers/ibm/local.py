"""Models of IBM's backends on this machine: a QPU without an account, with the noise of a day."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from time import perf_counter
from typing import Any

from qpuflow.domain.device import Device
from qpuflow.domain.errors import InputError
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.executable import Executable
from qpuflow.domain.limits import check_limits
from qpuflow.drivers.base import Outcome, Ticket, Usage
from qpuflow.drivers.forked import ForkedPool
from qpuflow.drivers.ibm.backends import BackendFacts
from qpuflow.drivers.ibm.pubs import PRELOAD, Sampled, bits_of, pub
from qpuflow.drivers.ibm.settings import LOCAL, IbmSettings
from qpuflow.drivers.own_runs import OwnRuns, RunsHere

MODULES = (*PRELOAD, "qiskit_aer", "qiskit_ibm_runtime.fake_provider")

EXECUTION_SECONDS = 2e-4
"""Of one shot of some qubits with noise, on one core; the model itself takes seconds once."""


class LocalIbmDriver(RunsHere):
    """One modelled backend, used from one event loop."""

    def __init__(self, name: str, settings: IbmSettings) -> None:
        self._name = name
        self._model = settings.backend.removeprefix(LOCAL)
        self._pool = ForkedPool(MODULES, settings.lanes + 1)
        self._runs = OwnRuns(name, "ibm-local", settings.lanes)
        self._device: Device | None = None

    async def describe(self) -> Device:
        if self._device is None:
            facts = await self._pool.run(facts_of, self._model)
            self._device = facts.device(self._name, simulated=True)
        return self._device

    async def submit(self, executables: Sequence[Executable], shots: int, token: str) -> Ticket:
        if known := self._runs.find(token):
            return known
        check_limits(await self.describe(), programs=len(executables), shots=shots)
        return self._runs.start(token, lambda: self._simulate(tuple(executables), shots))

    async def estimate(self, executables: Sequence[Executable], shots: int) -> Estimate:
        executions = shots * sum(len(executable.points) for executable in executables)
        return Estimate(seconds=0.1 + executions * EXECUTION_SECONDS)

    async def calibration(self) -> Mapping[str, Any]:
        return (await self._pool.run(facts_of, self._model)).properties

    async def _simulate(self, executables: tuple[Executable, ...], shots: int) -> Outcome:
        from qpuflow.drivers.shots import dataset_of_bits

        began = perf_counter()
        sampled = await self._pool.run(simulate, self._model, executables, shots)
        datasets = tuple(
            dataset_of_bits(one.outline.executable, one.bits, qpu=self._name, model=self._model)
            for one in sampled
        )
        return Outcome(datasets, Usage(seconds=perf_counter() - began))


def facts_of(model: str) -> BackendFacts:
    """In a process of its own."""
    backend = _backend(model)
    folder = backend.dirname
    names = (backend.conf_filename, backend.props_filename)
    texts: list[str] = []
    for name in names:
        with open(f"{folder}/{name}", encoding="utf-8") as file:
            texts.append(file.read())
    return BackendFacts(*map(json.loads, texts))


def simulate(model: str, executables: Sequence[Executable], shots: int) -> list[Sampled]:
    """In a process of its own."""
    return [_sampled(model, executable, shots) for executable in executables]


def _sampled(model: str, executable: Executable, shots: int) -> Sampled:
    from qiskit.primitives import BackendSamplerV2

    from qpuflow.drivers.outline import Outline

    sampler: Any = BackendSamplerV2(
        backend=_simulator(model), options={"seed_simulator": executable.seed}
    )
    result: Any = sampler.run([pub(executable, shots)]).result()
    return bits_of(Outline.of(executable), result[0])


@cache
def _simulator(model: str) -> Any:
    """Making the noise model takes seconds for 100 qubits."""
    from qiskit_aer import AerSimulator

    return AerSimulator.from_backend(_backend(model))


def _backend(model: str) -> Any:
    """Only this one is made: IBM's own look-up makes all of them, which takes seconds."""
    from qiskit_ibm_runtime import fake_provider

    for kind in vars(fake_provider).values():
        if getattr(kind, "backend_name", None) == model:
            return kind()
    raise InputError(
        f"There is no model {model!r} of an IBM backend",
        remedy="Models are named as fake_fez, fake_torino or fake_sherbrooke.",
    )
