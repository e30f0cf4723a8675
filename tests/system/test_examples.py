"""Every program in ``examples/`` through the whole system."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.examples.expectations import EXAMPLES, EXPECTATIONS
from tests.system.installation import Installation

pytestmark = pytest.mark.timeout(400)
PROGRAMS = sorted(EXAMPLES / f"{name}.qasm" for name in EXPECTATIONS)
SHOTS = 4000
FEW_OUTCOMES = (
    *("bell", "bernstein-vazirani", "deutsch-jozsa", "ghz-20", "grover", "repetition-code"),
    *("teleportation", "two-registers", "w-state"),
)
"""Programs whose outcomes noise spreads, and does not hide."""
WIDE = ("bernstein-vazirani", "clifford-100", "ghz-20", "qaoa-maxcut")
ON_THE_RACK = sorted(set(EXPECTATIONS) - set(WIDE))
DEEP = ("repetition-code",)
"""Much of a qubit's lifetime goes by."""
RESETTING = [EXAMPLES / "repetition-code.qasm"]
WITHOUT_RESETS = [path for path in PROGRAMS if path.stem in ON_THE_RACK and path not in RESETTING]
JOBS = (
    *(("aer", PROGRAMS), ("aer-heavyhex", PROGRAMS)),
    *(("qblox-dummy", WITHOUT_RESETS), ("qblox-dummy", RESETTING)),
)


async def submitted(stack: Installation, qpu: str, out: Path, programs: list[Path]) -> None:
    """All of them as one job; their datasets in `out`."""
    # Where a qubit is reset by waiting the others decay meanwhile.
    is_reset = qpu == "qblox-dummy" and programs == RESETTING
    options = ("--reset", "active") if is_reset else ()
    job = ("--qpu", qpu, "--shots", SHOTS, "--seed", 11, *options, "--wait", "--json")
    report = (await stack.run("submit", *programs, *job, timeout_seconds=300)).json
    written = await stack.run("result", report["job_id"], "--netcdf", out)
    assert written.code == 0, written


@pytest.fixture(scope="module")
async def folder(stack: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Has a folder with results for each QPU."""
    out = tmp_path_factory.mktemp("examples")
    await asyncio.gather(*(submitted(stack, qpu, out / qpu, programs) for qpu, programs in JOBS))
    return out


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_it_gives_its_expected_outcome_on_the_ideal_simulator(path: Path, folder: Path) -> None:
    import xarray as xr

    with xr.open_dataset(folder / "aer" / f"{path.stem}.nc", engine="h5netcdf") as dataset:
        EXPECTATIONS[path.stem](dataset)


@pytest.mark.parametrize("name", FEW_OUTCOMES)
def test_it_is_recognised_on_a_noisy_device_that_had_to_route_it(name: str, folder: Path) -> None:
    ideal, noisy = (counts(folder / qpu / f"{name}.nc") for qpu in ("aer", "aer-heavyhex"))
    assert 0.5 < fidelity(ideal, noisy) < 0.9999


@pytest.mark.parametrize("name", ON_THE_RACK)
def test_it_is_recognised_on_the_dummy_rack(name: str, folder: Path) -> None:
    ideal, measured = (counts(folder / qpu / f"{name}.nc") for qpu in ("aer", "qblox-dummy"))
    least = 0.7 if name in DEEP else 0.85
    assert least < fidelity(ideal, measured) < 0.9999, "it errs, and only a little"


def test_every_program_has_a_result_on_the_noisy_device(folder: Path) -> None:
    for path in PROGRAMS:
        seen = counts(folder / "aer-heavyhex" / f"{path.stem}.nc")
        assert sum(seen.values()) == SHOTS, path.stem


def counts(file: Path) -> dict[str, int]:
    import xarray as xr

    from qpuflow.domain.result import counts_of

    with xr.open_dataset(file, engine="h5netcdf") as dataset:
        return counts_of(dataset)


def fidelity(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """Hellinger's: 1 for equal distributions, 0 for disjoint ones."""
    total = sum(math.sqrt(one[outcome] * other.get(outcome, 0)) for outcome in one)
    return (total / SHOTS) ** 2
