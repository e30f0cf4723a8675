"""One intent, one execution, counted by the cloud's own books, whatever the weather."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qpuflow.domain.compiling import compile_circuit
from qpuflow.domain.errors import (
    InputError,
    OutcomeUnknown,
    PartlyAccepted,
    Refused,
    Unavailable,
)
from qpuflow.domain.executable import Executable
from qpuflow.domain.result import counts_of
from qpuflow.drivers.base import Driver, RemoteState, Ticket
from qpuflow.drivers.braket import BraketDriver
from qpuflow.drivers.conformance.kit import last_status
from qpuflow.drivers.fake_clouds import Fault, Kind
from qpuflow.drivers.fake_clouds.braket import QPU, SIMULATOR
from qpuflow.drivers.fake_clouds.braket.served import BraketAt

pytestmark = pytest.mark.flaky(reruns=0)  # one failure in a hundred is one execution too many

CREATE, STATUS, LIST, RESULT = (
    *("create_quantum_task", "get_quantum_task"),
    *("search_quantum_tasks", "get_object"),
)


@pytest_asyncio.fixture(loop_scope="session")
async def driver(fake_braket: BraketAt) -> AsyncIterator[Driver]:
    driver = driver_of(fake_braket)
    yield driver
    await driver.close()


def driver_of(cloud: BraketAt, **settings: Any) -> Driver:
    return BraketDriver("iqm", cloud.settings(**settings), cloud.secrets)


async def sweep(driver: Driver, points: int = 1) -> Executable:
    angle = Parameter("angle")
    circuit = QuantumCircuit(1, 1, name="sweep")
    circuit.rx(angle, 0)
    circuit.measure(0, 0)
    compiled = compile_circuit(circuit, await driver.describe())
    return compiled.executable(
        "sweep", [{"angle": 3.141592653589793 * (i % 2)} for i in range(points)]
    )


def token() -> str:
    return f"qpuflow-{uuid4().hex}-1"


async def settled(driver: Driver, executable: Executable, name: str) -> Ticket:
    """What the dispatch step does with an unknown outcome."""
    for _ in range(5):
        try:
            found = await driver.find(name)
            assert found is not None, "it began, so it may be there"
            return found
        except PartlyAccepted:
            try:
                return await driver.submit([executable], 10, name)
            except OutcomeUnknown:
                continue
    raise AssertionError("never settled")


async def counts(driver: Driver, ticket: Ticket) -> list[dict[str, int]]:
    assert (await last_status(driver, ticket)).state is RemoteState.COMPLETED
    dataset = (await driver.fetch(ticket)).datasets[0]
    return [counts_of(dataset, point) for point in range(dataset.sizes["point"])]


@pytest.mark.parametrize(
    "faults",
    [
        [Fault.REPLY_LOST],
        [Fault.BROKEN_AFTER],
        [Fault.BROKEN_BEFORE],
        [Fault.REPLY_LOST, Fault.REPLY_LOST],
        [Fault.BROKEN_BEFORE, Fault.BROKEN_AFTER],
        [None, Fault.REPLY_LOST],
        [None, None, Fault.BROKEN_BEFORE, Fault.REPLY_LOST],
        [None, Fault.THROTTLED],
    ],
    ids=lambda faults: "-".join(str(fault) for fault in faults),
)
async def test_an_unknown_outcome_is_settled_and_nothing_runs_twice(
    fake_braket: BraketAt, faults: list[Fault | None]
) -> None:
    driver = driver_of(fake_braket, settle_seconds=0.3)
    executable, name = await sweep(driver, 3), token()
    fake_braket.cloud.weather.next(CREATE, *faults)
    with pytest.raises(OutcomeUnknown):
        await driver.submit([executable], 10, name)
    ticket = await settled(driver, executable, name)
    assert await counts(driver, ticket) == [{"0": 10}, {"1": 10}, {"0": 10}]
    books = fake_braket.cloud.books
    assert sorted(books.count(Kind.EXECUTED).items()) == [(f"{name}-{i}", 1) for i in range(3)]


async def test_a_list_that_lags_behind_is_waited_for(fake_braket: BraketAt, driver: Driver) -> None:
    executable, name = await sweep(driver), token()
    fake_braket.cloud.weather.next(CREATE, Fault.REPLY_LOST)
    fake_braket.cloud.weather.next(LIST, Fault.LISTED_LATE, Fault.LISTED_LATE)
    with pytest.raises(OutcomeUnknown):
        await driver.submit([executable], 10, name)
    ticket = await driver.find(name)
    assert ticket is not None
    assert await counts(driver, ticket) == [{"0": 10}]
    assert len(fake_braket.cloud.weather.struck) >= 2


async def test_a_proxy_that_repeats_the_request_makes_no_second_task(
    fake_braket: BraketAt, driver: Driver
) -> None:
    fake_braket.cloud.weather.next(CREATE, Fault.DELIVERED_TWICE)
    await counts(driver, await driver.submit([await sweep(driver)], 10, token()))
    assert fake_braket.cloud.books.count(Kind.SUBMITTED).total() == 1


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.TOKEN_EXPIRED])
async def test_what_is_refused_was_not_accepted(
    fake_braket: BraketAt, driver: Driver, fault: Fault
) -> None:
    fake_braket.cloud.weather.next(CREATE, fault)
    with pytest.raises(Refused) as refused:
        await driver.submit([await sweep(driver)], 10, token())
    assert refused.value.retry_after_seconds == (1.0 if fault is Fault.THROTTLED else None)
    assert not fake_braket.cloud.books.entries


async def test_a_device_that_is_offline_says_so_and_accepts_nothing(
    fake_braket: BraketAt, driver: Driver
) -> None:
    executable = await sweep(driver)
    fake_braket.cloud.devices[QPU].status = "OFFLINE"
    assert (await driver.describe()).status == "offline"
    with pytest.raises(Refused, match="offline"):
        await driver.submit([executable], 10, token())


async def test_a_wait_outlives_bad_weather(fake_braket: BraketAt, driver: Driver) -> None:
    cloud = fake_braket.cloud
    cloud.backlog.queue_seconds = 0.5
    faults = (
        *(Fault.THROTTLED, Fault.BROKEN_BEFORE, Fault.REPLY_LOST, Fault.TOKEN_EXPIRED),
        *(Fault.UNKNOWN_WORD, Fault.STEP_BACK, None, Fault.STEP_BACK),
    )
    cloud.weather.retry_after_seconds = 0.1
    cloud.weather.next(STATUS, *faults)
    ticket = await driver.submit([await sweep(driver)], 10, token())
    states = [status.state async for status in driver.watch(ticket)]
    assert states[-1] is RemoteState.COMPLETED
    assert states == sorted(states, key=["queued", "running", "completed"].index)


async def test_half_a_result_is_fetched_again(fake_braket: BraketAt, driver: Driver) -> None:
    ticket = await driver.submit([await sweep(driver)], 10, token())
    await last_status(driver, ticket)
    fake_braket.cloud.weather.next(RESULT, None, Fault.TRUNCATED, Fault.REPLY_LOST)
    assert await counts(driver, ticket) == [{"0": 10}]
    assert (RESULT, Fault.TRUNCATED) in fake_braket.cloud.weather.struck


async def test_any_process_finds_and_fetches_what_another_submitted(
    fake_braket: BraketAt, driver: Driver
) -> None:
    ticket = await driver.submit([await sweep(driver, 2)], 10, token())
    elsewhere = driver_of(fake_braket)
    assert await elsewhere.find(ticket.token) == ticket
    assert await counts(elsewhere, ticket) == [{"0": 10}, {"1": 10}]


async def test_a_cancelled_job_never_runs(fake_braket: BraketAt, driver: Driver) -> None:
    fake_braket.cloud.backlog.queue_seconds = 30
    ticket = await driver.submit([await sweep(driver, 2)], 10, token())
    await driver.cancel(ticket)
    assert (await last_status(driver, ticket)).state is RemoteState.CANCELLED
    assert not fake_braket.cloud.books.count(Kind.EXECUTED)


async def test_the_estimate_is_amazons_price_list(fake_braket: BraketAt, driver: Driver) -> None:
    of_qpu = await driver.estimate([await sweep(driver, 2)], 1000)
    assert of_qpu.unit == "USD"
    assert of_qpu.cost == pytest.approx(2 * (0.30 + 1000 * 0.00145))
    simulator = driver_of(fake_braket, device=SIMULATOR)
    of_simulator = await simulator.estimate([await sweep(simulator)], 1000)
    assert of_simulator.cost == pytest.approx(3 / 60 * 0.075), "no less than three seconds"


async def test_what_costs_more_than_the_owner_allows_is_refused_before_it_costs(
    fake_braket: BraketAt,
) -> None:
    driver = driver_of(fake_braket, max_cost_usd=1.0)
    with pytest.raises(InputError, match=r"1\.75 USD, more than the 1\.00 allowed"):
        await driver.submit([await sweep(driver)], 1000, token())
    assert not fake_braket.cloud.books.entries


async def test_what_was_charged_is_what_was_estimated(
    fake_braket: BraketAt, driver: Driver
) -> None:
    executable = await sweep(driver)
    ticket = await driver.submit([executable], 100, token())
    await last_status(driver, ticket)
    usage = (await driver.fetch(ticket)).usage
    estimate = await driver.estimate([executable], 100)
    assert (usage.cost, usage.unit) == (pytest.approx(estimate.cost), "USD")


async def test_a_qubit_used_after_its_measurement_is_refused_with_a_way_out(
    fake_braket: BraketAt, driver: Driver
) -> None:
    circuit = QuantumCircuit(1, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.h(0)
    circuit.measure(0, 1)
    executable = compile_circuit(circuit, await driver.describe()).executable("mid")
    with pytest.raises(InputError, match="Measure at the end"):
        await driver.submit([executable], 10, token())
    assert not fake_braket.cloud.books.entries


async def test_nobody_there_is_a_refusal_not_a_doubt(fake_braket: BraketAt) -> None:
    nowhere = driver_of(fake_braket, endpoint_url="http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="Could not connect"):
        await nowhere.describe()
