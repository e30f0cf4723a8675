"""A backend in IBM's cloud, by the wire protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from qpuflow.drivers.base import Driver
from qpuflow.drivers.conformance import DriverConformance
from qpuflow.drivers.fake_clouds.ibm.served import IbmAt, ibm_served
from qpuflow.drivers.ibm import IbmDriver


@pytest.fixture(scope="module")
def ibm() -> Iterator[IbmAt]:
    with ibm_served() as ibm:
        yield ibm


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def driver(ibm: IbmAt) -> AsyncIterator[Driver]:
    driver = IbmDriver("ibm-jakarta", ibm.settings(settle_seconds=0.5), ibm.secrets)
    yield driver
    await driver.close()


class TestIbmInTheCloud(DriverConformance):
    shots = 1000
