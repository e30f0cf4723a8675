"""A machine of Quantinuum's that runs here."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from qpuflow.domain.errors import InputError
from qpuflow.drivers.base import Driver
from qpuflow.drivers.conformance import DriverConformance
from qpuflow.drivers.quantinuum import QuantinuumDriver


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def driver() -> AsyncIterator[Driver]:
    driver = QuantinuumDriver("h2-local", {"machine": "local:H2-1"})
    yield driver
    await driver.close()


class TestQuantinuumHere(DriverConformance):
    shots = 1000


async def test_a_machine_without_a_local_mode_is_said_to_have_none() -> None:
    with pytest.raises(InputError, match="'machine'"):
        QuantinuumDriver("h9", {"machine": "local:H9-1"})
