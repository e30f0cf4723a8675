"""A state that nobody had heard of when qpuflow was written, and that lasts: the wait ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from qiskit import QuantumCircuit

from qpuflow.domain.compiling import compile_circuit
from qpuflow.drivers.base import Driver, RemoteState, Ticket
from qpuflow.drivers.braket import BraketDriver
from qpuflow.drivers.conformance.kit import last_status
from qpuflow.drivers.fake_clouds import Fault
from qpuflow.drivers.fake_clouds.jobs import Backlog
from qpuflow.drivers.ibm import IbmDriver
from qpuflow.drivers.quantinuum import QuantinuumDriver

DRIVERS: dict[str, Callable[..., Driver]] = {
    "fake_braket": BraketDriver,
    "fake_ibm": IbmDriver,
    "fake_quantinuum": QuantinuumDriver,
}
PATIENCE_SECONDS = 60.0


@pytest.fixture(params=list(DRIVERS))
async def driver(request: pytest.FixtureRequest) -> AsyncIterator[Driver]:
    at = cloud_of(request)
    driver = DRIVERS[request.node.callspec.params["driver"]]("q", at.settings(), at.secrets)
    yield driver
    await driver.close()


def cloud_of(request: pytest.FixtureRequest) -> Any:
    """All of whose answers about a job have a word that nobody knows."""
    at = request.getfixturevalue(request.node.callspec.params["driver"])
    at.cloud.weather.rates[Fault.UNKNOWN_WORD] = 1.0
    return at


async def submitted(driver: Driver) -> Ticket:
    circuit = QuantumCircuit(1)
    circuit.x(0)
    circuit.measure_all()
    compiled = compile_circuit(circuit, await driver.describe())
    return await driver.submit([compiled.executable("x", ({},))], 10, "token")


def ruin(backlog: Backlog) -> None:
    """What is in it comes to nothing."""

    def broken() -> Any:
        raise RuntimeError("The fridge is warm")

    for job in backlog.jobs.values():
        job.work = broken


async def ended(backlog: Backlog) -> None:
    """Who watches earlier may be told by a socket, in words that are known."""
    while not all(job.state.is_final for job in backlog.jobs.values()):  # noqa: ASYNC110  it ends in a thread of the cloud's
        await asyncio.sleep(0.02)


async def test_what_has_a_result_is_completed(
    driver: Driver, request: pytest.FixtureRequest
) -> None:
    ticket = await submitted(driver)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await ended(cloud_of(request).cloud.backlog)
        assert (await last_status(driver, ticket)).state is RemoteState.COMPLETED
        outcome = await driver.fetch(ticket)
    assert outcome.datasets


async def test_what_has_ended_without_one_has_failed(
    driver: Driver, request: pytest.FixtureRequest
) -> None:
    backlog: Backlog = cloud_of(request).cloud.backlog
    backlog.is_open = False
    ticket = await submitted(driver)
    ruin(backlog)
    backlog.is_open = True
    async with asyncio.timeout(PATIENCE_SECONDS):
        await ended(backlog)
        status = await last_status(driver, ticket)
    assert status.state is RemoteState.FAILED
    assert "there is no result" in status.message
