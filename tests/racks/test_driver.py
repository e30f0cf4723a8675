"""The driver of a rack, through a real daemon over real sockets, passes the battery."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import ClassVar

import pytest
import pytest_asyncio

from qpuflow.drivers.conformance import DriverConformance
from qpuflow.drivers.qblox.config import load_configuration
from qpuflow.drivers.qblox.daemon.journal import Journal
from qpuflow.drivers.qblox.daemon.rack import Rack
from qpuflow.drivers.qblox.driver import QbloxDriver
from qpuflow.drivers.qblox.engine import Engine
from qpuflow.drivers.qblox.link.sockets import answer_all
from qpuflow.drivers.qblox.rack_file import SHIPPED, load_rack


@asynccontextmanager
async def a_rack(folder: Path, executor: str) -> AsyncGenerator[str]:
    """Its address."""
    settings = load_rack(SHIPPED).model_copy(update={"executor": executor})
    configuration = load_configuration(settings.device_file, settings.hardware_file)
    address = f"ipc://{folder}/rack.sock"
    journal = Journal(folder / "journal.sqlite")
    rack = Rack(settings, configuration, journal, Engine(settings, configuration, folder / "work"))
    rack.recover()
    parts = asyncio.gather(rack.work(), answer_all(address, None, rack.answer))
    yield address
    rack.stop()
    parts.cancel()
    with suppress(asyncio.CancelledError):
        await parts
    journal.close()


@pytest_asyncio.fixture(scope="class", loop_scope="session")
async def driver(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[QbloxDriver]:
    assert request.cls is not None
    folder = tmp_path_factory.mktemp("rack")
    async with a_rack(folder, request.cls.executor) as address:
        driver = QbloxDriver("rack", {"address": address})
        yield driver
        await driver.close()


SEVERAL_BITS = {
    "a gate conditional on a register": "one bit decides, on Qblox's sequencers",
}


class TestQuantify(DriverConformance):
    executor: ClassVar[str] = "quantify"
    shots = 2048
    cannot = SEVERAL_BITS


class TestQblox(DriverConformance):
    executor: ClassVar[str] = "qblox"
    shots = 2048
    cannot = SEVERAL_BITS
