"""A model of an IBM backend on this machine passes the battery within the noise that it admits."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from qpuflow.domain.errors import InputError
from qpuflow.drivers.base import Driver
from qpuflow.drivers.conformance import DriverConformance
from qpuflow.drivers.ibm import IbmDriver


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def driver() -> AsyncIterator[Driver]:
    driver = IbmDriver("jakarta", {"backend": "local:fake_jakarta"})
    yield driver
    await driver.close()


class TestAnIbmModel(DriverConformance):
    shots = 1000


async def test_a_model_that_does_not_exist_is_named() -> None:
    driver = IbmDriver("nowhere", {"backend": "local:fake_nowhere"})
    with pytest.raises(InputError, match="fake_nowhere"):
        await driver.describe()
    await driver.close()
