"""Real schedules on the vendor's dummy cluster, with either scheduler: compiled, loaded, run, read
and classified. What its inputs see comes from an exact simulation."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import pytest_asyncio
import xarray as xr
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qpuflow.domain.device import Device
from qpuflow.domain.errors import InputError
from qpuflow.domain.result import counts_of
from qpuflow.drivers.conformance.statistics import mismatch
from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.engine import Engine
from qpuflow.drivers.qblox.executors.instructions import check_memory
from qpuflow.drivers.qblox.preparation import Work
from qpuflow.drivers.qblox.programs import native_programs
from qpuflow.drivers.qblox.settings import RackSettings
from tests.racks.circuits import bell, compiled, ones
from tests.racks.conftest import EXECUTORS

ERROR = 0.006


async def test_a_bell_pair_is_half_and_half(engine: Engine, device: Device) -> None:
    ran = await engine.execute(Work([compiled(bell(), device)], 4096))
    problem = mismatch(counts_of(ran.datasets[0]), {"00": 0.5, "11": 0.5}, 2 * ERROR)
    assert problem is None
    assert 0 < ran.seconds < 30


async def test_nobody_pays_for_the_preparation_of_another_job(
    engine: Engine, device: Device
) -> None:
    own = Work([compiled(bell(), device)], 100)
    await engine.execute(own)
    slow = QuantumCircuit(1, 1)
    for step in range(200):
        slow.rx(0.001 * (step + 1), 0)
        slow.barrier()
    slow.measure(0, 0)
    began = time.perf_counter()
    ran = await engine.execute(own, Work([compiled(slow, device)], 100))
    assert ran.seconds < (time.perf_counter() - began) / 2


async def test_a_job_says_what_it_ran_with(
    engine: Engine, device: Device, configuration: Configuration
) -> None:
    attrs = (await engine.execute(Work([compiled(bell(), device)], 10))).datasets[0].attrs
    assert attrs["device_file_hash"] == configuration.device_hash
    assert attrs["calibrated"] == "2026-11-20T12:00:00+00:00"
    assert attrs["hardware_file_hash"] == configuration.hardware_hash
    assert len(attrs["schedule_hashes"]) == 64
    assert f"{attrs['executor']}_scheduler_version" in attrs


async def test_points_in_the_iq_plane_give_the_bits_that_the_hardware_gave(
    engine: Engine, device: Device
) -> None:
    circuit = QuantumCircuit(3, 4)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.x(2)
    circuit.measure([0, 1, 2], [2, 0, 1])
    program = replace(compiled(circuit, device, memory=True), measurement_level=1)
    dataset = (await engine.execute(Work([program], 2000))).datasets[0]
    assert dataset["iq"].dims == ("point", "shot", "clbit", "quadrature")
    assert dataset["iq"].attrs["units"] == "full scale of the input"
    points = dataset["iq"].sel(quadrature="I") + 1j * dataset["iq"].sel(quadrature="Q")
    turned = (points * np.exp(1j * np.radians(dataset["rotation_degrees"]))).real
    bits = (turned >= dataset["threshold"]).transpose("point", "shot", "clbit")
    assert (bits.values[..., :3] == dataset["bits"].values[..., :3]).mean() > 0.999
    assert np.isnan(dataset["iq"].values[..., 3, :]).all(), "nothing was measured into it"
    assert sum(counts_of(dataset).values()) == 2000
    ones = points.values[0, dataset["bits"].values[0, :, 0] == 1, 0]
    zeros = points.values[0, dataset["bits"].values[0, :, 0] == 0, 0]
    assert abs(ones.mean() - zeros.mean()) > 3 * ones.std(), "two blobs"


async def test_averages_are_those_of_the_shots(engine: Engine, device: Device) -> None:
    program = compiled(bell(), device)
    each = (await engine.execute(Work([replace(program, measurement_level=1)], 4000))).datasets[0]
    points = replace(program, measurement_level=1, average=True)
    mean = (await engine.execute(Work([points], 4000))).datasets[0]
    assert mean["iq"].dims == ("point", "clbit", "quadrature")
    assert counts_of(mean) == {}
    wanted = each["iq"].mean("shot").values
    assert np.abs(mean["iq"].values - wanted).max() < 0.003
    ones = (await engine.execute(Work([replace(program, average=True)], 4000))).datasets[0]["ones"]
    assert ones.dims == ("point", "clbit")
    assert np.abs(ones.values - 0.5).max() < 0.05


async def test_averaged_shots_share_their_bins(engine: Engine, device: Device) -> None:
    program = replace(compiled(ones(1), device), average=True)
    dataset = (await engine.execute(Work([program], 200_000))).datasets[0]
    assert len(dataset.attrs["schedule_hashes"].split()) == 1
    assert dataset["ones"].values[0, 0] > 0.98


def demodulated(dataset: xr.Dataset) -> NDArray[np.complex128]:
    """As docs/results.md says: the points that the traces are of."""
    wave = dataset["trace"].sel(quadrature="I") + 1j * dataset["trace"].sel(quadrature="Q")
    seconds = (dataset["time"] + dataset["window_begin"]) * 1e-9
    tone = np.exp(-2j * np.pi * dataset["intermediate_frequency"] * seconds)
    return (wave * tone).mean("time").values


async def test_averaged_traces_are_the_tones_behind_the_points(
    engine: Engine, device: Device
) -> None:
    circuit = QuantumCircuit(3, 4)
    circuit.x(0)
    circuit.h(2)
    circuit.measure([0, 1, 2], [2, 0, 1])
    program = replace(compiled(circuit, device), average=True)
    points = (await engine.execute(Work([replace(program, measurement_level=1)], 4000))).datasets[0]
    dataset = (await engine.execute(Work([replace(program, measurement_level=0)], 4000))).datasets[
        0
    ]
    trace = dataset["trace"]
    assert trace.dims == ("point", "clbit", "time", "quadrature")
    assert trace.shape == (1, 4, 1000, 2)
    assert trace.attrs["units"] == "full scale of the input"
    assert dataset["time"].attrs["units"] == "ns"
    assert counts_of(dataset) == {}
    wanted = points["iq"].values[0, :3, 0] + 1j * points["iq"].values[0, :3, 1]
    assert np.abs(demodulated(dataset)[0, :3] - wanted).max() < 0.003
    assert np.isnan(trace.values[0, 3]).all(), "nothing was measured into it"
    assert np.abs(trace.values[0, 0] - trace.values[0, 1]).max() < 0.06, "one line has all tones"


async def test_each_shot_of_one_qubit_has_a_trace_of_its_own(
    engine: Engine, device: Device, settings: RackSettings, configuration: Configuration
) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    program = replace(compiled(circuit, device), measurement_level=0)
    dataset = (await engine.execute(Work([program], 60))).datasets[0]
    assert dataset["trace"].dims == ("point", "shot", "clbit", "time", "quadrature")
    assert len(dataset.attrs["schedule_hashes"].split()) == 1
    points = demodulated(dataset)[0, :, 0]
    (qubit,) = native_programs(program, configuration.device)[0].acquisitions_of
    assert settings.dummy is not None
    cloud = list(settings.dummy.clouds.values())[qubit]
    from_ground = np.abs(points - complex(*cloud.ground))
    from_excited = np.abs(points - complex(*cloud.excited))
    assert np.minimum(from_ground, from_excited).max() < 6 * cloud.sigma
    assert 10 < (from_excited < from_ground).sum() < 50, "both states are seen"


async def test_more_traces_than_a_job_may_have_are_refused(engine: Engine, device: Device) -> None:
    program = replace(compiled(ones(1), device), measurement_level=0)
    with pytest.raises(InputError, match="2,000 traces are 2,000 runs"):
        await engine.execute(Work([program], 2000))
    points = replace(program, points=({}, {}, {}))
    with pytest.raises(InputError, match="1,200 traces are 1,200 runs"):
        await engine.execute(Work([points], 400))


@pytest.mark.parametrize("average", [False, True])
async def test_an_active_reset_starts_every_shot_from_the_ground_state(
    engine: Engine, device: Device, average: bool
) -> None:
    circuit = QuantumCircuit(2, 3)
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.reset(0)
    circuit.measure([0, 1], [1, 2])
    program = compiled(circuit, device, active_reset=True, average=average)
    dataset = (await engine.execute(Work([program], 2000))).datasets[0]
    assert dataset.attrs["reset"] == "active"
    if average:
        assert dataset["ones"].values[0] == pytest.approx([1.0, 0.0, 0.0], abs=0.06)
    else:
        assert counts_of(dataset)["001"] > 1850


async def test_a_sweep_and_a_batch_share_uploads(engine: Engine, device: Device) -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(1, 1)
    circuit.ry(theta, 0)
    circuit.measure(0, 0)
    points = [{"theta": 0.0}, {"theta": 3.14159265}, {"theta": 1.5707963}]
    sweep = compiled(circuit, device, points=points)
    ran = await engine.execute(Work([sweep, compiled(ones(3), device)], 1000))
    first, second = ran.datasets
    expected = ({"0": 1.0}, {"1": 1.0}, {"0": 0.5, "1": 0.5})
    for point, distribution in enumerate(expected):
        assert mismatch(counts_of(first, point), distribution, ERROR) is None
    assert mismatch(counts_of(second), {"111": 1.0}, 3 * ERROR) is None
    assert first.attrs["schedule_hashes"] == second.attrs["schedule_hashes"]


async def test_two_hundred_thousand_shots_are_two_runs(engine: Engine, device: Device) -> None:
    dataset = (await engine.execute(Work([compiled(ones(1), device)], 200_000))).datasets[0]
    assert len(dataset.attrs["schedule_hashes"].split()) == 2
    counts = counts_of(dataset)
    assert sum(counts.values()) == 200_000
    assert mismatch(counts, {"1": 1.0}, ERROR) is None


async def test_the_same_schedule_is_not_compiled_again(engine: Engine, device: Device) -> None:
    program = compiled(ones(4), device)
    clock = asyncio.get_running_loop().time
    took: list[float] = []
    for _ in range(4):
        began = clock()
        await engine.execute(Work([program], 100))
        took.append(clock() - began)
    assert min(took[1:]) <= took[0] / 2


def processes() -> set[int]:
    return {one.pid for one in psutil.Process().children(recursive=True)}


async def test_cancelling_ends_the_run_and_the_next_one_works(
    engine: Engine, device: Device
) -> None:
    await engine.warm()
    long = asyncio.create_task(engine.execute(Work([compiled(bell(), device)], 1_000_000)))
    await asyncio.sleep(0.3)
    before = processes()
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long
    assert processes() - before, "another has connected already, which stops what still plays"
    ran = await engine.execute(Work([compiled(ones(1), device)], 100))
    assert sum(counts_of(ran.datasets[0]).values()) == 100


@pytest_asyncio.fixture(params=EXECUTORS, loop_scope="session")
async def mistuned(
    request: pytest.FixtureRequest,
    settings: RackSettings,
    configuration: Configuration,
    tmp_path: Path,
) -> AsyncIterator[Engine]:
    """A rack whose device file has the threshold of q0 far off."""
    chip = configuration.device
    q0 = chip.qubits["q0"]
    readout = q0.readout.model_copy(update={"threshold": q0.readout.threshold + 0.025})
    wrong = q0.model_copy(update={"readout": readout})
    device = chip.model_copy(update={"qubits": {**chip.qubits, "q0": wrong}})
    chosen = settings.model_copy(update={"executor": request.param})
    engine = Engine(chosen, Configuration(device, configuration.hardware), tmp_path)
    yield engine
    engine.close()


async def test_a_wrong_threshold_gives_wrong_counts(mistuned: Engine, device: Device) -> None:
    counts = counts_of(
        (await mistuned.execute(Work([compiled(ones(1), device)], 1000))).datasets[0]
    )
    assert 350 < counts["0"] < 650, "the threshold cuts the cloud of |1> in half"


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of this folder's, in a process of its own."""
    here = Path(__file__)
    done = subprocess.run(
        [sys.executable, str(here.with_name(name)), *arguments],
        env={**os.environ, "PYTHONPATH": str(here.parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_pulses_are_the_gates(executor: str) -> None:
    assert "the pulses are the gates" in script("assembly_to_unitary.py", executor).stdout


@pytest.mark.parametrize("executor", EXECUTORS)
def test_data_of_an_earlier_run_never_come_back(executor: str) -> None:
    done = script("run_without_signal.py", executor)
    assert "100 of 100 acquisitions of sequencer 0 in slot 8 never came" in done.stdout


def test_a_program_too_long_for_a_sequencer_is_refused() -> None:
    settings = SimpleNamespace(sequence={"program": "play 0,1,4 \n\n" * 12_289})
    instructions = {"settings": None, "cluster0_module8": {"sequencers": {"seq2": settings}}}
    check_memory(instructions, {8: "QCM_RF"})
    with pytest.raises(InputError, match="12,289 instructions, and sequencer 2 of the QRM_RF"):
        check_memory(instructions, {8: "QRM_RF"})
