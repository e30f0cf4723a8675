"""One intent, one execution, counted by the cloud's own books, whatever the weather."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from math import pi
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qpuflow.domain.compiling import compile_circuit
from qpuflow.domain.errors import (
    InputError,
    OperatorNeeded,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from qpuflow.domain.executable import Executable
from qpuflow.domain.result import counts_of
from qpuflow.drivers.base import Driver, RemoteState, Ticket
from qpuflow.drivers.conformance.kit import last_status
from qpuflow.drivers.fake_clouds import Fault, Kind
from qpuflow.drivers.fake_clouds.ibm.served import IbmAt
from qpuflow.drivers.ibm import IbmDriver

pytestmark = pytest.mark.flaky(reruns=0)  # one failure in a hundred is one execution too many

Drivers = Callable[..., Driver]


@pytest_asyncio.fixture(loop_scope="session")
async def drivers(fake_ibm: IbmAt) -> AsyncIterator[Drivers]:
    """As many as a test wants, with other settings or secrets."""
    made: list[Driver] = []

    def make(secrets: Mapping[str, str] = fake_ibm.secrets, **settings: Any) -> Driver:
        made.append(IbmDriver("jakarta", fake_ibm.settings(**settings), secrets))
        return made[-1]

    yield make
    for driver in made:
        await driver.close()


@pytest.fixture
def driver(drivers: Drivers) -> Driver:
    return drivers()


async def sweep(driver: Driver, points: int = 2) -> Executable:
    angle = Parameter("angle")
    circuit = QuantumCircuit(1, 1, name="sweep")
    circuit.rx(angle, 0)
    circuit.measure(0, 0)
    compiled = compile_circuit(circuit, await driver.describe())
    return compiled.executable("sweep", [{"angle": pi * (i % 2)} for i in range(points)])


def token() -> str:
    return f"qpuflow-{uuid4().hex}-1"


async def counts(driver: Driver, ticket: Ticket) -> list[dict[str, int]]:
    assert (await last_status(driver, ticket)).state is RemoteState.COMPLETED
    dataset = (await driver.fetch(ticket)).datasets[0]
    return [counts_of(dataset, point) for point in range(dataset.sizes["point"])]


@pytest.mark.parametrize("fault", [Fault.REPLY_LOST, Fault.BROKEN_AFTER])
async def test_what_was_accepted_is_found_and_not_submitted_again(
    fake_ibm: IbmAt, driver: Driver, fault: Fault
) -> None:
    name = token()
    fake_ibm.cloud.weather.next("submit", fault)
    fake_ibm.cloud.weather.next("jobs", Fault.LISTED_LATE, Fault.REPLY_LOST, Fault.THROTTLED)
    with pytest.raises(OutcomeUnknown):
        await driver.submit([await sweep(driver)], 10, name)
    ticket = await driver.find(name)
    assert ticket is not None
    assert await counts(driver, ticket) == [{"0": 10}, {"1": 10}]
    assert fake_ibm.cloud.books.count(Kind.EXECUTED) == {name: 1}


async def test_what_was_not_accepted_is_not_found_after_the_patience(
    fake_ibm: IbmAt, drivers: Drivers
) -> None:
    driver, name = drivers(settle_seconds=0.3), token()
    fake_ibm.cloud.weather.next("submit", Fault.BROKEN_BEFORE)
    with pytest.raises(OutcomeUnknown, match="500"):
        await driver.submit([await sweep(driver)], 10, name)
    assert await driver.find(name) is None
    assert not fake_ibm.cloud.books.entries


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.TOKEN_EXPIRED])
async def test_what_is_refused_was_not_accepted_and_goes_next_time(
    fake_ibm: IbmAt, driver: Driver, fault: Fault
) -> None:
    fake_ibm.cloud.weather.next("submit", fault)
    with pytest.raises(Refused) as refused:
        await driver.submit([await sweep(driver)], 10, token())
    assert refused.value.retry_after_seconds == (1.0 if fault is Fault.THROTTLED else None)
    assert not fake_ibm.cloud.books.entries
    assert await driver.submit([await sweep(driver)], 10, token())


@pytest.mark.parametrize("fault", [Fault.BROKEN_BEFORE, Fault.REPLY_LOST, Fault.THROTTLED])
async def test_what_goes_wrong_at_the_login_submits_nothing(
    fake_ibm: IbmAt, driver: Driver, fault: Fault
) -> None:
    executable = await sweep(driver)
    fake_ibm.cloud.weather.next("submit", Fault.TOKEN_EXPIRED)
    with pytest.raises(Refused):
        await driver.submit([executable], 10, token())
    fake_ibm.cloud.weather.next("log_in", fault)
    with pytest.raises(Refused):
        await driver.submit([executable], 10, token())
    assert not fake_ibm.cloud.books.entries


async def test_a_key_that_is_not_good_is_said_to_be_so(drivers: Drivers) -> None:
    wrong = drivers({"token": "expired"})
    with pytest.raises(Unavailable, match="API key could not be found"):
        await wrong.describe()
    with pytest.raises(OperatorNeeded, match="no API key"):
        drivers({})


async def test_a_wait_outlives_bad_weather_and_an_expired_token(
    fake_ibm: IbmAt, driver: Driver
) -> None:
    cloud = fake_ibm.cloud
    cloud.backlog.queue_seconds = 0.5
    cloud.weather.retry_after_seconds = 0.1
    faults = (
        *(Fault.THROTTLED, Fault.BROKEN_BEFORE, Fault.REPLY_LOST, Fault.TOKEN_EXPIRED),
        *(Fault.UNKNOWN_WORD, Fault.TRUNCATED, Fault.STEP_BACK, None, Fault.STEP_BACK),
    )
    cloud.weather.next("job", *faults)
    ticket = await driver.submit([await sweep(driver)], 10, token())
    states = [status.state async for status in driver.watch(ticket)]
    assert states[-1] is RemoteState.COMPLETED
    assert states == sorted(states, key=["queued", "running", "completed"].index)


async def test_half_a_result_is_fetched_again(fake_ibm: IbmAt, driver: Driver) -> None:
    ticket = await driver.submit([await sweep(driver)], 10, token())
    await last_status(driver, ticket)
    fake_ibm.cloud.weather.next("results", Fault.TRUNCATED, Fault.REPLY_LOST)
    assert await counts(driver, ticket) == [{"0": 10}, {"1": 10}]


async def test_any_process_finds_and_fetches_what_another_submitted(
    driver: Driver, drivers: Drivers
) -> None:
    ticket = await driver.submit([await sweep(driver)], 10, token())
    elsewhere = drivers()
    assert await elsewhere.find(ticket.token) == ticket
    assert await counts(elsewhere, ticket) == [{"0": 10}, {"1": 10}]


async def test_a_cancelled_job_never_runs(fake_ibm: IbmAt, driver: Driver) -> None:
    fake_ibm.cloud.backlog.queue_seconds = 30
    ticket = await driver.submit([await sweep(driver)], 10, token())
    await driver.cancel(ticket)
    await driver.cancel(ticket)
    assert (await last_status(driver, ticket)).state is RemoteState.CANCELLED
    assert not fake_ibm.cloud.books.count(Kind.EXECUTED)


async def test_the_estimate_is_ibms_rule_of_thumb(driver: Driver) -> None:
    estimate = await driver.estimate([await sweep(driver, points=10)], 1000)
    assert estimate.seconds == pytest.approx(2 + 10_000 * 250e-6)


async def test_what_would_run_longer_than_the_owner_allows_is_refused(
    fake_ibm: IbmAt, drivers: Drivers
) -> None:
    driver = drivers(max_execution_seconds=3)
    with pytest.raises(InputError, match="about 4 s of QPU time, more than the 3 allowed"):
        await driver.submit([await sweep(driver, points=10)], 1000, token())
    await driver.submit([await sweep(driver)], 10, token())
    (job,) = fake_ibm.cloud.backlog.jobs.values()
    assert job.request["cost"] == 3, "and IBM is told"


async def test_what_would_run_longer_than_its_user_allows_is_refused(
    fake_ibm: IbmAt, drivers: Drivers
) -> None:
    driver = drivers(max_execution_seconds=30)
    one = replace(await sweep(driver), max_cost="3 qpu-seconds")
    with pytest.raises(InputError, match="more than the 3 allowed"):
        await driver.submit([one], 10_000, token())
    await driver.submit([one], 10, token())
    (job,) = fake_ibm.cloud.backlog.jobs.values()
    assert job.request["cost"] == 3


async def test_the_device_has_the_errors_and_the_state_of_the_backend(
    fake_ibm: IbmAt, driver: Driver
) -> None:
    device = await driver.describe()
    (cx,) = [gate for gate in device.gates if gate.name == "cx"]
    assert cx.sites is not None
    site = next(site for site in cx.sites if site.qubits == (0, 1))
    assert 1e-4 < (site.error or 0) < 0.1
    assert 1e-8 < (site.duration_seconds or 0) < 1e-5
    fake_ibm.cloud.online = False
    assert (await driver.describe()).status == "offline"
    assert "last_update_date" in await driver.calibration()
