"""Both Aer QPUs pass the battery, and the battery catches drivers that are wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, ClassVar

import pytest
import pytest_asyncio
from qiskit import QuantumCircuit

from qpuflow.domain.compiling import Compiled
from qpuflow.domain.device import Device
from qpuflow.drivers import tket
from qpuflow.drivers.aer import AerDriver
from qpuflow.drivers.conformance import DriverConformance, mismatch
from qpuflow.drivers.conformance.cases import case
from qpuflow.drivers.conformance.kit import check, run

NOISE = {"one_qubit": 3e-4, "two_qubit": 8e-3, "readout": 1e-2}


@pytest_asyncio.fixture(scope="class", loop_scope="session")
async def driver(request: pytest.FixtureRequest) -> AsyncIterator[AerDriver]:
    assert request.cls is not None
    driver = AerDriver("aer", request.cls.settings, {})
    yield driver
    await driver.close()


class TestAer(DriverConformance):
    settings: ClassVar[Mapping[str, Any]] = {}


class TestAerHeavyHex(DriverConformance):
    settings: ClassVar[Mapping[str, Any]] = {"layout": "heavy-hex-127", "noise": NOISE}


class TestAerHeavyHexWithoutNoise(DriverConformance):
    optimization_level = 3
    settings: ClassVar[Mapping[str, Any]] = {"layout": "heavy-hex-127"}


class TestAerHeavyHexByPytket(DriverConformance):
    """Pytket's passes keep what circuits mean, branches and measurements in the middle too."""

    optimization_level = 2
    settings: ClassVar[Mapping[str, Any]] = {"layout": "heavy-hex-127"}
    cannot: ClassVar[Mapping[str, str]] = {
        "parameters at several points": "pytket compiles circuits whose angles are numbers"
    }

    def compiled(self, circuit: QuantumCircuit, device: Device) -> Compiled:
        return tket.compile_circuit(circuit, device, self.optimization_level)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ideal() -> AsyncIterator[AerDriver]:
    driver = AerDriver("aer", {}, {})
    yield driver
    await driver.close()


def _reversed_bits(outcomes: list[str]) -> list[str]:
    return [outcome[::-1] for outcome in outcomes]


def _registers_swapped(outcomes: list[str]) -> list[str]:
    return [" ".join(reversed(outcome.split(" "))) for outcome in outcomes]


def _no_spaces(outcomes: list[str]) -> list[str]:
    return [outcome.replace(" ", "") for outcome in outcomes]


def _bits_beyond_64_lost(outcomes: list[str]) -> list[str]:
    return ["0" * len(outcome[:-64]) + outcome[-64:] for outcome in outcomes]


@pytest.mark.parametrize(
    ("fault", "caught_by"),
    [
        (_reversed_bits, "x on qubit 0"),
        (_reversed_bits, "measured into another clbit"),
        (_reversed_bits, "measured twice"),
        (_registers_swapped, "register a before b"),
        (_no_spaces, "register b before a"),
        (_no_spaces, "clbits that nothing measures"),
        (_bits_beyond_64_lost, "more than 64 clbits"),
    ],
)
async def test_the_battery_catches_a_driver_with(
    ideal: AerDriver, fault: Callable[[list[str]], list[str]], caught_by: str
) -> None:
    prepared = await TestAer().prepare(ideal, case(caught_by), seed=1)
    dataset = (await run(ideal, [prepared.executable], 200)).datasets[0]
    check(prepared, dataset, 200)
    wrong = fault([str(outcome) for outcome in dataset["outcome"].values])
    with pytest.raises(AssertionError):
        check(prepared, dataset.assign_coords(outcome=wrong), 200)


BELL = {"00": 0.5, "11": 0.5}


@pytest.mark.parametrize(
    ("counts", "noise"),
    [
        ({"00": 2048, "11": 2047, "01": 1}, 0.0),
        ({"00": 2248, "11": 1848}, 0.0),
        ({"11": 4096}, 0.3),
        ({"00": 1500, "11": 1500, "01": 1096}, 0.1),
    ],
    ids=["impossible outcome", "biased", "far too biased for the noise", "too much noise"],
)
def test_the_statistics_see_what_does_not_fit(counts: dict[str, int], noise: float) -> None:
    assert mismatch(counts, BELL, noise)


@pytest.mark.parametrize(
    ("counts", "noise"),
    [({"00": 2100, "11": 1996}, 0.0), ({"00": 2000, "11": 1996, "01": 100}, 0.05)],
)
def test_the_statistics_accept_what_fits(counts: dict[str, int], noise: float) -> None:
    assert mismatch(counts, BELL, noise) is None
