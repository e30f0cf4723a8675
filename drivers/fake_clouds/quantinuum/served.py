"""A fake Quantinuum that answers, and how to reach it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from qpuflow.drivers.fake_clouds.quantinuum.cloud import FakeQuantinuum
from qpuflow.drivers.fake_clouds.serving import serving


@dataclass(frozen=True, slots=True)
class QuantinuumAt:
    """`cloud` has its weather and its books."""

    cloud: FakeQuantinuum
    url: str

    secrets = {"user": "ada@example.org", "password": "of-a-fake-cloud"}  # noqa: RUF012  the same for all


@contextmanager
def quantinuum_served(
    cloud: FakeQuantinuum | None = None, port: int = 0
) -> Generator[QuantinuumAt]:
    cloud = cloud or FakeQuantinuum()
    with serving(cloud.app, port) as place:
        yield QuantinuumAt(cloud, place.url)
