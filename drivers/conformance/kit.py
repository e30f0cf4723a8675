"""The battery as a pytest class to subclass; see the package's docstring."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar
from uuid import uuid4

import pytest

from qpuflow.domain.compiling import Compiled, compile_circuit
from qpuflow.domain.device import Device
from qpuflow.domain.errors import InputError
from qpuflow.domain.executable import Executable
from qpuflow.domain.result import counts_of, registers_of
from qpuflow.drivers.base import Driver, Outcome, RemoteState, RemoteStatus, Ticket
from qpuflow.drivers.conformance.cases import CASES, Case, case
from qpuflow.drivers.conformance.statistics import mismatch, noise_bound

if TYPE_CHECKING:
    import xarray as xr
    from qiskit import QuantumCircuit

_ids = [one.name for one in CASES]


@dataclass(frozen=True, slots=True)
class Prepared:
    case: Case
    executable: Executable
    noise: float


@pytest.mark.asyncio(loop_scope="session")
class DriverConformance:
    """Subclass it and give it a `driver` fixture."""

    shots: ClassVar[int] = 4096
    """Of each comparison; fewer if the device takes fewer."""
    optimization_level: ClassVar[int] = 1
    cannot: ClassVar[Mapping[str, str]] = {}
    """Names of cases that the QPU cannot run, and why."""

    @pytest.mark.parametrize("one", CASES, ids=_ids)
    async def test_outcomes_follow_the_exact_distribution(self, driver: Driver, one: Case) -> None:
        prepared = await self.prepare(driver, one)
        shots = await self.shots_for(driver)
        outcome = await run(driver, [prepared.executable], shots)
        check(prepared, outcome.datasets[0], shots)
        assert outcome.usage.seconds >= 0

    async def test_a_batch_gives_what_its_programs_give_alone(self, driver: Driver) -> None:
        device = await driver.describe()
        able = [one for one in CASES if not self.obstacle(device, one)]
        batch = [await self.prepare(driver, one) for one in able[: device.limits.max_programs]]
        shots = await self.shots_for(driver)
        outcome = await run(driver, [one.executable for one in batch], shots)
        assert len(outcome.datasets) == len(batch), "one dataset per program, in their order"
        for prepared, dataset in zip(batch, outcome.datasets, strict=True):
            check(prepared, dataset, shots)

    async def test_each_shots_bits_add_up_to_the_counts(self, driver: Driver) -> None:
        for name in ("register a before b", "parameters at several points"):
            prepared = await self.prepare(driver, case(name), memory=True)
            shots = min(500, await self.shots_for(driver))
            dataset = (await run(driver, [prepared.executable], shots)).datasets[0]
            check(prepared, dataset, shots)
            for point in range(len(prepared.case.points)):
                assert tally(dataset, point) == counts_of(dataset, point)

    async def test_a_simulator_repeats_itself_with_a_seed_only(self, driver: Driver) -> None:
        if not (await driver.describe()).simulator:
            pytest.skip("the QPU is no simulator")
        one = case("two unequal qubits")
        same, again, other = [
            (await self.prepare(driver, one, seed=seed, memory=True)).executable
            for seed in (7, 7, 8)
        ]
        bits = [(await run(driver, [e], 500)).datasets[0]["bits"] for e in (same, again, other)]
        assert bits[0].equals(bits[1]), "the same seed gives the same shots"
        assert not bits[0].equals(bits[2]), "another seed gives other shots"

    async def test_what_was_accepted_is_found_by_its_token(self, driver: Driver) -> None:
        prepared = await self.prepare(driver, case("Bell pair"))
        token = f"conformance-{uuid4()}"
        assert await driver.find(token) is None
        ticket = await driver.submit([prepared.executable], 10, token)
        assert ticket.token == token
        assert await driver.find(token) == ticket
        assert (await last_status(driver, ticket)).state is RemoteState.COMPLETED
        assert await driver.find(token) == ticket, "also when it is finished"
        first, second = await driver.fetch(ticket), await driver.fetch(ticket)
        assert first.datasets[0].equals(second.datasets[0]), "fetching does not consume"

    async def test_cancelling_one_leaves_the_other_alone(self, driver: Driver) -> None:
        prepared = await self.prepare(driver, case("teleportation"))
        shots = await self.shots_for(driver)
        doomed = await driver.submit([prepared.executable], shots, f"conformance-{uuid4()}")
        other = await driver.submit([prepared.executable], shots, f"conformance-{uuid4()}")
        await driver.cancel(doomed)
        state = (await last_status(driver, doomed)).state
        assert state in (RemoteState.CANCELLED, RemoteState.COMPLETED), "or it was too late"
        assert (await last_status(driver, other)).state is RemoteState.COMPLETED
        await driver.cancel(other)
        assert (await last_status(driver, other)).state is RemoteState.COMPLETED
        check(prepared, (await driver.fetch(other)).datasets[0], shots)

    async def test_a_forgotten_ticket_is_lost_only_where_nothing_happened(
        self, driver: Driver
    ) -> None:
        if (await driver.describe()).outside_effects:
            pytest.skip("the QPU keeps its tickets itself")
        unknown = Ticket(id="conformance-unknown", token=f"conformance-{uuid4()}")
        assert (await last_status(driver, unknown)).state is RemoteState.LOST

    async def test_limits_are_told_and_kept(self, driver: Driver) -> None:
        device = await driver.describe()
        prepared = await self.prepare(driver, case("Bell pair"))
        for shots in (0, device.limits.max_shots + 1):
            with pytest.raises(InputError):
                await driver.submit([prepared.executable], shots, f"conformance-{uuid4()}")

    async def test_the_estimate_has_a_cost_and_a_time(self, driver: Driver) -> None:
        prepared = await self.prepare(driver, case("Bell pair"))
        estimate = await driver.estimate([prepared.executable], 100)
        assert estimate.seconds > 0
        assert estimate.cost >= 0

    async def prepare(
        self, driver: Driver, one: Case, *, seed: int | None = None, memory: bool = False
    ) -> Prepared:
        """Compile a case, or skip the test when the QPU cannot run it."""
        from qiskit import qpy

        device = await driver.describe()
        if reason := self.obstacle(device, one):
            pytest.skip(reason)
        compiled = self.compiled(parse(one.source), device)
        isa: QuantumCircuit = qpy.load(io.BytesIO(compiled.qpy))[0]
        executable = compiled.executable(one.name, one.points, seed=seed, memory=memory)
        return Prepared(one, executable, noise_bound(isa, device))

    def compiled(self, circuit: QuantumCircuit, device: Device) -> Compiled:
        return compile_circuit(circuit, device, self.optimization_level, seed=1)

    def obstacle(self, device: Device, one: Case) -> str | None:
        missing = one.needs - {gate.name for gate in device.gates}
        width = parse(one.source).num_qubits
        if width > device.limits.max_qubits:
            return f"{device.name} has no {width} qubits"
        return self.cannot.get(one.name) or (f"{device.name} has no {missing}" if missing else None)

    async def shots_for(self, driver: Driver) -> int:
        return min(self.shots, (await driver.describe()).limits.max_shots)


def parse(source: str) -> QuantumCircuit:
    from qiskit import qasm2, qasm3

    return qasm2.loads(source) if source.startswith("OPENQASM 2") else qasm3.loads(source)


async def run(driver: Driver, executables: Sequence[Executable], shots: int) -> Outcome:
    ticket = await driver.submit(executables, shots, f"conformance-{uuid4()}")
    status = await last_status(driver, ticket)
    assert status.state is RemoteState.COMPLETED, status
    return await driver.fetch(ticket)


async def last_status(driver: Driver, ticket: Ticket) -> RemoteStatus:
    statuses = [status async for status in driver.watch(ticket)]
    assert statuses, "watch ended without a status"
    assert statuses[-1].state.is_final, "watch ended before the work did"
    return statuses[-1]


def check(prepared: Prepared, dataset: xr.Dataset, shots: int) -> None:
    """The dataset has the executable's registers and points, all shots, and fits."""
    assert registers_of(dataset) == prepared.executable.registers
    assert dataset.sizes["point"] == len(prepared.case.points)
    for point, expected in enumerate(prepared.case.expected):
        counts = counts_of(dataset, point)
        assert sum(counts.values()) == shots, f"{shots} shots, but {counts}"
        assert {shape(outcome) for outcome in counts} == {shape(next(iter(expected)))}
        problem = mismatch(counts, expected, prepared.noise)
        assert problem is None, f"{prepared.case.name}, point {point}: {problem}"


def shape(outcome: str) -> tuple[int, ...]:
    return tuple(len(part) for part in outcome.split(" "))


def tally(dataset: xr.Dataset, point: int) -> dict[str, int]:
    """Counts made from `bits`."""
    from collections import Counter

    registers = registers_of(dataset)
    counts: Counter[str] = Counter()
    for shot in dataset["bits"].values[point]:
        bits = iter("".join(map(str, shot)))
        parts = ["".join(next(bits) for _ in range(r.size))[::-1] for r in registers]
        counts[" ".join(reversed(parts))] += 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
