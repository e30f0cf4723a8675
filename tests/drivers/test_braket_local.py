"""Braket's simulators on this machine pass the battery."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import ClassVar

import pytest_asyncio

from qpuflow.drivers.base import Driver
from qpuflow.drivers.braket import BraketDriver
from qpuflow.drivers.conformance import DriverConformance


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def driver() -> AsyncIterator[Driver]:
    driver = BraketDriver("braket-local", {"device": "local:braket_sv"})
    yield driver
    await driver.close()


class TestBraketOnThisMachine(DriverConformance):
    shots = 2000
    cannot: ClassVar[Mapping[str, str]] = {}
