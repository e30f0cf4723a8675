"""Every fake cloud by its vendor's name, for the command line."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from qpuflow.drivers.extras import require
from qpuflow.drivers.fake_clouds.weather import Weather

Served = Callable[[Weather, float, Path | None, int], AbstractContextManager[tuple[str, str]]]
"""Weather, seconds in the queue, journal, port; gives the URL and how to use it."""


@contextmanager
def _braket(
    weather: Weather, queue_seconds: float, journal: Path | None, port: int
) -> Generator[tuple[str, str]]:
    require("braket", "boto3", "braket.default_simulator")
    from qpuflow.drivers.fake_clouds.braket import QPU, SIMULATOR, FakeBraket
    from qpuflow.drivers.fake_clouds.braket.served import braket_served

    cloud = FakeBraket(weather, queue_seconds=queue_seconds, journal=journal)
    with braket_served(cloud, port) as braket:
        yield braket.url, f"Set AWS_ENDPOINT_URL to it; devices are {QPU} and {SIMULATOR}."


@contextmanager
def _ibm(
    weather: Weather, queue_seconds: float, journal: Path | None, port: int
) -> Generator[tuple[str, str]]:
    require("ibm", "qiskit_ibm_runtime")
    require("aer", "qiskit_aer")
    from qpuflow.drivers.fake_clouds.ibm import BACKEND, CRN, FakeIbm
    from qpuflow.drivers.fake_clouds.ibm.served import ibm_served

    cloud = FakeIbm(weather, queue_seconds=queue_seconds, journal=journal)
    with ibm_served(cloud, port) as ibm:
        how = f"url {ibm.url}/api/v1, iam_url {ibm.url}, backend {BACKEND}, instance {CRN}"
        yield ibm.url, f"Settings of a QPU there: {how}"


@contextmanager
def _quantinuum(
    weather: Weather, queue_seconds: float, journal: Path | None, port: int
) -> Generator[tuple[str, str]]:
    require("quantinuum", "pytket.qir", "pyqir")
    require("aer", "qiskit_aer")
    from qpuflow.drivers.fake_clouds.quantinuum import MACHINE, FakeQuantinuum
    from qpuflow.drivers.fake_clouds.quantinuum.served import quantinuum_served

    cloud = FakeQuantinuum(weather, queue_seconds=queue_seconds, journal=journal)
    with quantinuum_served(cloud, port) as quantinuum:
        how = f"url {quantinuum.url}/v1/, machine {MACHINE}, jobs_by_name true"
        yield quantinuum.url, f"Settings of a QPU there: {how}"


CLOUDS: Mapping[str, Served] = {"braket": _braket, "ibm": _ibm, "quantinuum": _quantinuum}
