"""A fake Amazon Braket that answers, and how to reach it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qpuflow.drivers.braket.settings import BraketSettings
from qpuflow.drivers.fake_clouds.braket.cloud import FakeBraket
from qpuflow.drivers.fake_clouds.braket.devices import QPU
from qpuflow.drivers.fake_clouds.serving import serving


@dataclass(frozen=True, slots=True)
class BraketAt:
    """`cloud` has its weather and its books."""

    cloud: FakeBraket
    url: str

    secrets = {"access_key_id": "AKIAFAKECLOUD", "secret_access_key": "of-a-fake-cloud"}  # noqa: RUF012  the same for all

    def settings(self, **more: Any) -> BraketSettings:
        """A QPU in this cloud, looked at more often than one would a real one."""
        known = {"device": QPU, "bucket": "amazon-braket-fake", "endpoint_url": self.url}
        quick = {"poll_seconds": 0.05, "settle_seconds": 3.0}
        return BraketSettings.model_validate({**known, **quick, **more})


@contextmanager
def braket_served(cloud: FakeBraket | None = None, port: int = 0) -> Generator[BraketAt]:
    cloud = cloud or FakeBraket()
    with serving(cloud.app, port) as place:
        yield BraketAt(cloud, place.url)
