"""A device in Amazon's cloud, by the wire protocol: boto3 and a server that speaks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import ClassVar

import pytest
import pytest_asyncio

from qpuflow.drivers.base import Driver
from qpuflow.drivers.braket import BraketDriver
from qpuflow.drivers.conformance import DriverConformance
from qpuflow.drivers.fake_clouds import serving
from qpuflow.drivers.fake_clouds.braket import QPU, FakeBraket

KEYS = {"access_key_id": "AKIAFAKE", "secret_access_key": "secret"}
MID_CIRCUIT = "Braket's devices in the cloud measure at the end"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(FakeBraket().app) as cloud:
        yield cloud.url


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def driver(url: str) -> AsyncIterator[Driver]:
    settings = {
        "device": QPU,
        "bucket": "amazon-braket-tests",
        "endpoint_url": url,
        "poll_seconds": 0.05,
        "settle_seconds": 2.0,
    }
    driver = BraketDriver("braket-iqm", settings, KEYS)
    yield driver
    await driver.close()


class TestBraketInTheCloud(DriverConformance):
    shots = 1000
    cannot: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("measured in the middle", "measured twice", "a clbit written twice keeps the last value"),
        MID_CIRCUIT,
    )
