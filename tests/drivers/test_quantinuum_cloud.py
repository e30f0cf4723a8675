"""A machine in Quantinuum's cloud, by the wire protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from qpuflow.drivers.base import Driver
from qpuflow.drivers.conformance import DriverConformance
from qpuflow.drivers.fake_clouds.quantinuum.served import QuantinuumAt, quantinuum_served
from qpuflow.drivers.quantinuum import QuantinuumDriver


@pytest.fixture(scope="module")
def quantinuum() -> Iterator[QuantinuumAt]:
    with quantinuum_served() as quantinuum:
        yield quantinuum


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def driver(quantinuum: QuantinuumAt) -> AsyncIterator[Driver]:
    settings = quantinuum.settings(settle_seconds=0.5)
    driver = QuantinuumDriver("quantinuum-h1", settings, quantinuum.secrets)
    yield driver
    await driver.close()


class TestQuantinuumInTheCloud(DriverConformance):
    shots = 1000
