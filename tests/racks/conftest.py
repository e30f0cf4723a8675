"""The dummy rack that comes with qpuflow, with either scheduler."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from qpuflow.domain.device import Device
from qpuflow.drivers.qblox.config import Configuration, load_configuration
from qpuflow.drivers.qblox.daemon.journal import Journal
from qpuflow.drivers.qblox.devices import device_of
from qpuflow.drivers.qblox.engine import Engine
from qpuflow.drivers.qblox.rack_file import SHIPPED, load_rack
from qpuflow.drivers.qblox.settings import RackSettings

EXECUTORS = ("quantify", "qblox")


@pytest.fixture(scope="session")
def settings() -> RackSettings:
    return load_rack(SHIPPED)


@pytest.fixture(scope="session")
def configuration(settings: RackSettings) -> Configuration:
    return load_configuration(settings.device_file, settings.hardware_file)


@pytest.fixture(scope="session")
def device(settings: RackSettings, configuration: Configuration) -> Device:
    return device_of(
        "qblox-dummy", configuration.device, max_shots=settings.max_shots, simulated=True
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=EXECUTORS)
async def engine(
    request: pytest.FixtureRequest,
    settings: RackSettings,
    configuration: Configuration,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Engine]:
    chosen = settings.model_copy(update={"executor": request.param})
    engine = Engine(chosen, configuration, tmp_path_factory.mktemp("rack"))
    yield engine
    engine.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with contextlib.closing(Journal(tmp_path / "journal.sqlite", most_bytes=1000)) as journal:
        yield journal
