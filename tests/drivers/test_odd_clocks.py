"""A cloud whose clock differs from ours by hours, and a device that goes away under its queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from qpuflow.drivers.base import Driver, RemoteState
from qpuflow.drivers.conformance.kit import last_status
from qpuflow.drivers.fake_clouds import Fault
from tests.drivers.test_unknown_words import DRIVERS, submitted

PATIENCE_SECONDS = 150.0
STATUS = {"fake_braket": "get_quantum_task", "fake_ibm": "job", "fake_quantinuum": "job"}

TOKENS: dict[str, Callable[[Any], list[str]]] = {
    "fake_ibm": lambda cloud: cloud.issued,
    "fake_quantinuum": lambda cloud: cloud.accounts.issued[::2],  # and a refresh token with each
}


@pytest.fixture(params=list(DRIVERS))
def cloud(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param, request.getfixturevalue(request.param)


@pytest.fixture
async def driver(cloud: tuple[str, Any]) -> AsyncIterator[Driver]:
    name, at = cloud
    driver = DRIVERS[name]("q", at.settings(), at.secrets)
    yield driver
    await driver.close()


@pytest.mark.parametrize("hours", [-3, 3])
async def test_a_job_goes_there_and_back_whatever_the_vendors_clock_says(
    cloud: tuple[str, Any], driver: Driver, hours: int
) -> None:
    name, at = cloud
    at.cloud.weather.clock_ahead_seconds = hours * 3600
    async with asyncio.timeout(PATIENCE_SECONDS):
        ticket = await submitted(driver)
        assert await driver.find(ticket.token) == ticket
        assert (await last_status(driver, ticket)).state is RemoteState.COMPLETED
        assert (await driver.fetch(ticket)).datasets
    if name != "fake_braket":  # which has no logins
        assert len(TOKENS[name](at.cloud)) == 1, "it logs in once, not before every question"


async def test_jobs_outlive_a_device_that_goes_offline_under_them(
    cloud: tuple[str, Any], driver: Driver
) -> None:
    name, at = cloud
    at.cloud.weather.offline_seconds = 2.0
    at.cloud.backlog.queue_seconds = 0.5
    at.cloud.weather.next(STATUS[name], Fault.OFFLINE)
    async with asyncio.timeout(PATIENCE_SECONDS):
        ticket = await submitted(driver)
        watch = driver.watch(ticket)
        assert (await anext(aiter(watch))).state is RemoteState.QUEUED
        assert (await driver.describe()).status == "offline"
        assert [status.state async for status in watch][-1] is RemoteState.COMPLETED
    assert not at.cloud.books.executed_twice


async def test_a_result_without_an_end_is_not_read_to_its_end(
    cloud: tuple[str, Any], driver: Driver
) -> None:
    name, at = cloud
    result = {"fake_braket": "get_object", "fake_ibm": "results", "fake_quantinuum": "job"}[name]
    async with asyncio.timeout(PATIENCE_SECONDS):
        ticket = await submitted(driver)
        assert (await last_status(driver, ticket)).state is RemoteState.COMPLETED
        at.cloud.weather.next(result, Fault.OVERSIZED)
        assert (await driver.fetch(ticket)).datasets
    assert (result, Fault.OVERSIZED) in at.cloud.weather.struck
