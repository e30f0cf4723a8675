"""Drivers come from whatever packages are installed, and one broken package stops no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

from qpuflow.domain.errors import NotFound
from qpuflow.drivers.loading import driver_kinds, load_factory

PYPROJECT = """
[build-system]
requires = ["uv_build"]
build-backend = "uv_build"

[project]
name = "coin-qpu"
version = "1.2.3"

[project.entry-points."qpuflow.drivers"]
coin = "coin_qpu:CoinDriver"
broken = "coin_qpu.broken:Driver"
number = "coin_qpu:NUMBER"

[tool.uv.build-backend]
module-root = ""
"""

BROKEN = "import a_vendor_sdk_that_is_not_installed"

# A whole third-party driver: a QPU of one qubit that answers 0 and 1 by turns.
DRIVER = """
from qpuflow.domain.device import Device, Gate, Limits
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.result import dataset_of
from qpuflow.drivers.base import Outcome, RemoteState, RemoteStatus, Ticket, Usage

NUMBER = 42


class CoinDriver:
    def __init__(self, name, settings, secrets):
        self.name, self.settings, self.secrets, self.runs = name, settings, secrets, {}

    async def describe(self):
        gates = tuple(Gate(name=name) for name in ("rx", "rz", "measure"))
        limits = Limits(max_qubits=1, max_shots=100)
        return Device(name=self.name, num_qubits=1, gates=gates, limits=limits)

    async def submit(self, executables, shots, token):
        ticket = Ticket(f"coin-{len(self.runs)}", token)
        self.runs[token] = (ticket, executables, shots)
        return ticket

    async def find(self, token):
        return self.runs.get(token, [None])[0]

    async def watch(self, ticket):
        yield RemoteStatus(RemoteState.COMPLETED)

    async def fetch(self, ticket):
        _, executables, shots = self.runs[ticket.token]
        counts = {"0": shots - shots // 2, "1": shots // 2}
        return Outcome(tuple(dataset_of(e, shots, [counts]) for e in executables), Usage(0.5))

    async def cancel(self, ticket):
        pass

    async def estimate(self, executables, shots):
        return Estimate(seconds=0.5)

    async def calibration(self):
        return {}

    async def close(self):
        pass
"""

USE = """
import asyncio, json
from qiskit import QuantumCircuit
from qpuflow.domain.compiling import compile_circuit
from qpuflow.domain.errors import OperatorNeeded
from qpuflow.domain.result import counts_of
from qpuflow.drivers.loading import driver_kinds, load_factory

def refusal(kind):
    try:
        load_factory(kind)
    except OperatorNeeded as error:
        return str(error)

async def main():
    driver = load_factory("coin")("my-coin", {"side": "edge"}, {"key": "s3cret"})
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    compiled = compile_circuit(circuit, await driver.describe())
    ticket = await driver.submit([compiled.executable("toss")], 100, "token")
    states = [status.state async for status in driver.watch(ticket)]
    outcome = await driver.fetch(ticket)
    return {
        "kinds": driver_kinds(),
        "settings": [driver.name, driver.settings, driver.secrets],
        "operations": sorted(compiled.operations),
        "states": states,
        "counts": counts_of(outcome.datasets[0]),
        "broken": refusal("broken"),
        "number": refusal("number"),
    }

print(json.dumps(asyncio.run(main())))
"""


def test_our_own_driver_is_known_and_loads() -> None:
    from qpuflow.drivers.aer import AerDriver

    assert "aer" in driver_kinds()
    assert load_factory("aer") is AerDriver


def test_an_unknown_driver_is_refused_with_the_known_names() -> None:
    with pytest.raises(NotFound, match=r"no_such.*Known are: .*aer"):
        load_factory("no_such")


def test_a_third_partys_package_brings_a_driver(tmp_path: Path) -> None:
    site = install(tmp_path / "coin", tmp_path / "site")
    told = subprocess.run(
        [sys.executable, "-c", USE],
        env={**os.environ, "PYTHONPATH": str(site)},
        stdout=subprocess.PIPE,
        check=True,
    )
    report = json.loads(told.stdout)
    assert {"aer", "coin"} <= set(report["kinds"])
    assert report["settings"] == ["my-coin", {"side": "edge"}, {"key": "s3cret"}]
    assert set(report["operations"]) <= {"rx", "rz", "measure"}, "compiled for its gates"
    assert report["states"] == ["completed"]
    assert report["counts"] == {"0": 50, "1": 50}
    assert "a_vendor_sdk_that_is_not_installed" in report["broken"]
    assert "coin-qpu 1.2.3" in report["broken"]
    assert "42" in report["number"]


def install(project: Path, site: Path) -> Path:
    """Build and install the package as its author's users would, without a network."""
    package = project / "coin_qpu"
    package.mkdir(parents=True)
    (project / "pyproject.toml").write_text(PYPROJECT)
    (package / "__init__.py").write_text(DRIVER)
    (package / "broken.py").write_text(BROKEN)
    # uv carries the backend uv_build in itself, so nothing has to be downloaded.
    command = [find_uv_bin(), "pip", "install", "--quiet", "--offline", "--no-deps"]
    subprocess.run(
        [*command, "--python", sys.executable, "--target", site, project],
        env={**os.environ, "UV_CACHE_DIR": str(project.parent / "cache")},
        check=True,
    )
    return site
