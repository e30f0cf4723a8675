"""A fake Quantinuum that answers, and how to reach it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qpuflow.drivers.fake_clouds.quantinuum.cloud import FakeQuantinuum
from qpuflow.drivers.fake_clouds.quantinuum.machines import MACHINE
from qpuflow.drivers.fake_clouds.serving import serving
from qpuflow.drivers.quantinuum.settings import QuantinuumSettings


@dataclass(frozen=True, slots=True)
class QuantinuumAt:
    """`cloud` has its weather and its books."""

    cloud: FakeQuantinuum
    url: str

    secrets = {"user": "ada@example.org", "password": "of-a-fake-cloud"}  # noqa: RUF012  the same for all

    def settings(self, **more: Any) -> QuantinuumSettings:
        """A QPU in this cloud, looked at more often than one would a real one."""
        known = {"machine": MACHINE, "url": f"{self.url}/v1/", "jobs_by_name": True}
        known["microsoft_url"] = f"{self.url}/microsoft"
        quick = {"poll_seconds": 0.05, "settle_seconds": 3.0, "silence_seconds": 0.5}
        return QuantinuumSettings.model_validate({**known, **quick, **more})


@contextmanager
def quantinuum_served(
    cloud: FakeQuantinuum | None = None, port: int = 0
) -> Generator[QuantinuumAt]:
    cloud = cloud or FakeQuantinuum()
    with serving(cloud.app, port) as place:
        yield QuantinuumAt(cloud, place.url)
