"""Quantinuum's own local emulator, where its extra is installed; else how to have it."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from qpuflow.domain.errors import OperatorNeeded
from qpuflow.drivers.base import Driver
from qpuflow.drivers.conformance import DriverConformance
from qpuflow.drivers.quantinuum import QuantinuumDriver

MACHINE = {"machine": "local:H1-1LE"}
IS_INSTALLED = importlib.util.find_spec("pytket_pecos") is not None


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def driver() -> AsyncIterator[Driver]:
    driver = QuantinuumDriver("h1-emulated", MACHINE)
    yield driver
    await driver.close()


@pytest.mark.skipif(not IS_INSTALLED, reason="its extra has 0.8 GB, and pre-releases")
class TestQuantinuumsEmulator(DriverConformance):
    shots = 1000


@pytest.mark.skipif(IS_INSTALLED, reason="it is installed")
def test_who_has_no_emulator_is_told_how_to_have_one() -> None:
    with pytest.raises(OperatorNeeded, match=r"pip install 'qpuflow\[quantinuum-emulator\]'"):
        QuantinuumDriver("h1-emulated", MACHINE)
