"""The Aer driver beyond what the battery asks of every driver."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter
from qiskit.circuit.library import XXPlusYYGate

from qpuflow.domain.compiling import compile_circuit, registers_of_circuit
from qpuflow.domain.errors import Conflict, InputError, NotFound
from qpuflow.domain.executable import Executable
from qpuflow.domain.result import counts_of
from qpuflow.drivers.aer import AerDriver
from qpuflow.drivers.base import RemoteState, RemoteStatus, Ticket
from qpuflow.drivers.conformance.kit import last_status, run

HEAVY_HEX = {"layout": "heavy-hex-127"}
NOISY = {**HEAVY_HEX, "noise": {"one_qubit": 3e-4, "two_qubit": 8e-3, "readout": 1e-2}}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def aer() -> AsyncIterator[AerDriver]:
    driver = AerDriver("aer", {"lanes": 1, "seed": 5}, {})
    yield driver
    await driver.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def noisy() -> AsyncIterator[AerDriver]:
    driver = AerDriver("aer-heavyhex", NOISY, {})
    yield driver
    await driver.close()


async def executable(driver: AerDriver, circuit: QuantumCircuit, **options: Any) -> Executable:
    compiled = compile_circuit(circuit, await driver.describe(), seed=1)
    return compiled.executable(circuit.name, **options)


def ghz(size: int) -> QuantumCircuit:
    circuit = QuantumCircuit(size, name=f"GHZ-{size}")
    circuit.h(0)
    for qubit in range(size - 1):
        circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    return circuit


def clifford(size: int) -> QuantumCircuit:
    """Layers of Clifford gates in many spellings, undone again; then x on qubit 0."""
    half = QuantumCircuit(size)
    for qubit in range(size):
        half.h(qubit)
        half.ry(-1.5707963267948966, qubit)
        half.u(1.5707963267948966, 0, 3.141592653589793, (qubit + 3) % size)
        half.s(qubit)
    for qubit in range(size - 1):
        half.cx(qubit, qubit + 1)
        half.rzz(1.5707963267948966, qubit, qubit + 1)
    circuit = half.copy()
    circuit.compose(half.inverse(), inplace=True)
    circuit.x(0)
    circuit.measure_all()
    return circuit


def endless(qubits: int = 22) -> QuantumCircuit:
    """Minutes of state vector."""
    circuit = QuantumCircuit(qubits, 1, name="endless")
    with circuit.for_loop(range(100_000)):
        for qubit in range(qubits):
            circuit.t(qubit)
            circuit.h(qubit)
    circuit.measure(0, 0)
    return circuit


@pytest.mark.parametrize("settings", [{}, HEAVY_HEX], ids=["all-to-all", "heavy-hex"])
async def test_a_hundred_clifford_qubits_run_on_both_layouts(settings: dict[str, Any]) -> None:
    driver = AerDriver("aer", settings, {})
    outcome = await run(driver, [await executable(driver, clifford(100))], 100)
    await driver.close()
    assert counts_of(outcome.datasets[0]) == {"1".zfill(100): 100}
    assert outcome.datasets[0].attrs["method"] == "stabilizer"


async def test_the_method_follows_the_program_and_is_told(aer: AerDriver) -> None:
    wide = QuantumCircuit(40, name="wide")
    for qubit in range(40):
        wide.ry(0.1, qubit)
    wide.measure_all()
    narrow = QuantumCircuit(2, name="narrow")
    narrow.t(0)
    narrow.measure_all()
    batch = [await executable(aer, circuit) for circuit in (ghz(3), ghz(9), narrow, wide)]
    batch.append(await executable(aer, ghz(3), method="matrix_product_state"))
    datasets = (await run(aer, batch, 20)).datasets
    assert [dataset.attrs["method"] for dataset in datasets] == [
        *("statevector", "stabilizer"),
        *("statevector", "matrix_product_state", "matrix_product_state"),
    ]


async def test_the_dataset_says_how_it_was_made(noisy: AerDriver) -> None:
    one = await executable(noisy, ghz(3), seed=11)
    outcome = await run(noisy, [one], 100)
    attrs = outcome.datasets[0].attrs
    assert attrs["qpu"] == "aer-heavyhex"
    assert attrs["seed"] == 11
    assert json.loads(attrs["noise"]) == NOISY["noise"]
    assert attrs["method"] == "density_matrix"
    assert attrs["qiskit_version"]
    assert attrs["qiskit_aer_version"]
    assert 0 < attrs["seconds"] == outcome.usage.seconds


async def test_the_owners_seed_holds_for_jobs_without_one(aer: AerDriver) -> None:
    one = await executable(aer, ghz(2), memory=True)
    first, second = [(await run(aer, [one], 100)).datasets[0] for _ in range(2)]
    assert first.attrs["seed"] == 5
    assert first["bits"].equals(second["bits"])


async def test_idle_qubits_cost_nothing(noisy: AerDriver) -> None:
    circuit = QuantumCircuit(127, 2)
    circuit.t(60)
    circuit.h(60)
    circuit.cx(60, 61)
    circuit.barrier()
    circuit.measure([60, 61], [0, 1])
    outcome = await run(noisy, [await executable(noisy, circuit)], 1000)
    assert outcome.datasets[0].attrs["method"] == "density_matrix"
    assert outcome.usage.seconds < 1


async def test_noise_on_127_qubits_is_fast_for_typical_programs(noisy: AerDriver) -> None:
    outcome = await run(noisy, [await executable(noisy, ghz(20))], 1024)
    assert outcome.datasets[0].attrs["method"] == "stabilizer"
    assert outcome.usage.seconds < 10
    assert len(counts_of(outcome.datasets[0])) > 2, "noise shows"


async def test_a_program_without_clbits_keeps_its_shots_of_nothing(aer: AerDriver) -> None:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    dataset = (await run(aer, [await executable(aer, circuit, memory=True)], 7)).datasets[0]
    assert counts_of(dataset) == {"": 7}
    assert dataset["bits"].shape == (1, 7, 0)


async def test_loose_clbits_are_registers_of_their_own(aer: AerDriver) -> None:
    from qiskit.circuit import ClassicalRegister, Clbit, Qubit

    circuit = QuantumCircuit([Qubit(), Clbit()], ClassicalRegister(2, "c"), [Clbit()])
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.measure(0, 2)
    dataset = (await run(aer, [await executable(aer, circuit)], 7)).datasets[0]
    assert counts_of(dataset) == {"0 10 1": 7}


async def test_a_state_vector_beyond_memory_is_refused_before_dispatch(aer: AerDriver) -> None:
    one = await executable(aer, ghz(40), method="statevector")
    for attempt in (aer.submit([one], 1, "too wide"), aer.estimate([one], 1)):
        with pytest.raises(InputError, match=r"40 qubits takes 17,592,186,044,416 bytes"):
            await attempt
    assert await aer.find("too wide") is None


async def test_the_stabilizer_method_is_refused_for_other_gates(aer: AerDriver) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.t(0)
    with pytest.raises(InputError, match="Clifford"):
        await aer.submit([await executable(aer, circuit, method="stabilizer")], 1, "not clifford")


async def test_a_failure_has_aers_own_words(aer: AerDriver) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.append(XXPlusYYGate(0.3), [0, 1])
    circuit.measure([0, 1], [0, 1])
    file = io.BytesIO()
    qpy.dump(circuit, file)
    one = Executable("uncompiled", file.getvalue(), registers_of_circuit(circuit))
    ticket = await aer.submit([one], 1, "uncompiled")
    status = await last_status(aer, ticket)
    assert status.state is RemoteState.FAILED
    assert "unknown instruction: xx_plus_yy" in status.message
    with pytest.raises(Conflict, match="xx_plus_yy"):
        await aer.fetch(ticket)


async def test_submit_returns_at_once_and_cancel_frees_the_lane(aer: AerDriver) -> None:
    long = await executable(aer, endless(), method="statevector")
    short = await executable(aer, ghz(2))
    running = await aer.submit([long], 1, "long")
    waiting = await aer.submit([short], 10, "short")
    assert await first_status(aer, waiting) == RemoteStatus(RemoteState.QUEUED)
    with pytest.raises(Conflict, match="no result"):
        await aer.fetch(running)
    watched = aer.watch(running)
    assert await until(watched, RemoteState.RUNNING)
    start = time.perf_counter()
    await aer.cancel(running)
    assert await until(watched, RemoteState.CANCELLED)
    assert (await last_status(aer, waiting)).state is RemoteState.COMPLETED
    assert time.perf_counter() - start < 5


async def test_dropping_a_watcher_stops_no_work(aer: AerDriver) -> None:
    ticket = await aer.submit([await executable(aer, ghz(60))], 5_000, "watched")
    watcher = asyncio.create_task(last_status(aer, ticket))
    await asyncio.sleep(0)
    watcher.cancel()
    assert (await last_status(aer, ticket)).state is RemoteState.COMPLETED


async def test_a_parameter_that_was_compiled_away_may_still_have_values(aer: AerDriver) -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(1, 1)
    circuit.rz(theta, 0)
    circuit.measure(0, 0)
    compiled = compile_circuit(circuit, await aer.describe(), 3, seed=1)
    outcome = await run(aer, [compiled.executable("moot", [{"theta": 0.1}, {"theta": 0.2}])], 9)
    assert [counts_of(outcome.datasets[0], point) for point in (0, 1)] == [{"0": 9}, {"0": 9}]


async def test_a_parameter_without_a_value_is_named(aer: AerDriver) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter("theta"), 0)
    circuit.measure(0, 0)
    with pytest.raises(InputError, match="No value for theta"):
        await aer.submit([await executable(aer, circuit)], 1, "unbound")


async def test_the_same_token_is_the_same_run(aer: AerDriver) -> None:
    one = await executable(aer, ghz(2))
    first, second = await aer.submit([one], 10, "twin"), await aer.submit([one], 10, "twin")
    assert first == second


async def test_an_unknown_ticket_has_no_result(aer: AerDriver) -> None:
    with pytest.raises(NotFound):
        await aer.fetch(Ticket("aer-none", "never seen"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"layout": "ring"}, "'layout'"),
        ({"noise": {"readout": 2}}, "'noise.readout'"),
        ({"shots": 5}, "'shots'"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        AerDriver("aer", settings, {})


async def first_status(driver: AerDriver, ticket: Ticket) -> RemoteStatus:
    return await anext(driver.watch(ticket))


async def until(statuses: AsyncIterator[RemoteStatus], state: RemoteState) -> bool:
    async for status in statuses:
        if status.state is state:
            return True
    return False
