"""A fake IBM Quantum that answers, and how to reach it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qpuflow.drivers.fake_clouds.ibm.cloud import BACKEND, CRN, FakeIbm
from qpuflow.drivers.fake_clouds.serving import serving
from qpuflow.drivers.ibm.settings import IbmSettings


@dataclass(frozen=True, slots=True)
class IbmAt:
    """`cloud` has its weather and its books."""

    cloud: FakeIbm
    url: str

    secrets = {"token": "key-of-a-fake-cloud"}  # noqa: RUF012  the same for all

    def settings(self, **more: Any) -> IbmSettings:
        """A QPU in this cloud, looked at more often than one would a real one."""
        known = {"backend": BACKEND, "instance": CRN, "iam_url": self.url}
        quick = {"poll_seconds": 0.05, "settle_seconds": 3.0, "submissions_per_minute": 60_000}
        return IbmSettings.model_validate({**known, **quick, "url": f"{self.url}/api/v1", **more})


@contextmanager
def ibm_served(cloud: FakeIbm | None = None, port: int = 0) -> Generator[IbmAt]:
    cloud = cloud or FakeIbm()
    with serving(cloud.app, port) as place:
        yield IbmAt(cloud, place.url)
