"""What a rack does with one job: programs in, datasets out."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from qpuflow.domain.executable import Executable
from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.config.values import nanoseconds
from qpuflow.drivers.qblox.executors import Schedule
from qpuflow.drivers.qblox.instruments import Instruments
from qpuflow.drivers.qblox.packing import Run, runs
from qpuflow.drivers.qblox.programs import NativeProgram, native_programs
from qpuflow.drivers.qblox.results import Measured, by_program, dataset_of_points
from qpuflow.drivers.qblox.settings import RackSettings
from qpuflow.drivers.qblox.traces import Traces, Window, dataset_of_traces

if TYPE_CHECKING:
    import xarray as xr

    from qpuflow.drivers.qblox.config.chip import Readout


@dataclass(frozen=True, slots=True)
class Ran:
    """A dataset for each executable, and for how long the instruments were theirs."""

    datasets: tuple[xr.Dataset, ...]
    seconds: float


@dataclass(slots=True)
class _Point:
    """One executable at one of its points, and what is known of its shots so far."""

    program: NativeProgram
    seed: int
    measured: list[Measured] = field(default_factory=list[Measured])
    traces: list[Traces] = field(default_factory=list[Traces])
    schedules: list[Schedule] = field(default_factory=list["Schedule"])


class Session:
    """Jobs on one rack, one after the other, from one thread."""

    def __init__(self, settings: RackSettings, configuration: Configuration) -> None:
        self._settings = settings
        self._configuration = configuration
        self._instruments = Instruments(settings, configuration)

    def execute(self, executables: Sequence[Executable], shots: int) -> Ran:
        """`InputError` where a program is more than the rack can do; nothing has run then."""
        work = [list(self._points(executable)) for executable in executables]
        flat = [point for points in work for point in points]
        average = any(executable.average for executable in executables)
        traced = any(executable.measurement_level == 0 for executable in executables)
        programs = [point.program for point in flat]
        planned = list(runs(programs, shots, average=average, traced=traced))
        compiled = [self._instruments.schedule(run.upload) for run in planned]
        began = time.perf_counter()
        for run, schedule in zip(planned, compiled, strict=True):
            points = flat[run.first : run.first + len(run.upload.programs)]
            self._trace(run, schedule, points[0]) if traced else self._run(run, schedule, points)
            for point in points:
                point.schedules.append(schedule)
        seconds = time.perf_counter() - began
        datasets = [
            self._dataset(executable, shots, points, seconds / len(work))
            for executable, points in zip(executables, work, strict=True)
        ]
        return Ran(tuple(datasets), seconds)

    def _run(self, run: Run, schedule: Schedule, points: Sequence[_Point]) -> None:
        acquired = self._instruments.run(schedule, [_seed(point, run) for point in points])
        for point, part in zip(points, by_program(run.upload, acquired), strict=True):
            point.measured.append(Measured.of(run.upload, point.program, part))

    def _trace(self, run: Run, schedule: Schedule, point: _Point) -> None:
        point.traces.append(self._instruments.trace(schedule, _seed(point, run)))

    def telemetry(self) -> dict[str, float | str | None]:
        return self._instruments.telemetry()

    def _points(self, executable: Executable) -> Iterator[_Point]:
        import numpy as np

        dummy = self._settings.dummy
        given = executable.seed if executable.seed is not None else dummy and dummy.seed
        seed = secrets.randbelow(2**31) if given is None else given
        programs = native_programs(executable, self._configuration.device)
        own = np.random.SeedSequence(seed).generate_state(len(programs))
        for program, of_point in zip(programs, own, strict=True):
            yield _Point(program, int(of_point))

    def _dataset(
        self, executable: Executable, shots: int, points: Sequence[_Point], seconds: float
    ) -> xr.Dataset:
        attrs = self._attrs(points, seconds)
        if executable.measurement_level == 0:
            first = points[0]
            traces, windows = [point.traces for point in points], self._windows(first)
            return dataset_of_traces(executable, shots, first.program, traces, windows, attrs)
        measured = [point.measured for point in points]
        return dataset_of_points(executable, shots, measured, self._readouts(points[0]), attrs)

    def _readouts(self, point: _Point) -> list[Readout | None]:
        """Of each classical bit that anything wrote."""
        qubits = list(self._configuration.device.qubits.values())
        return [source and qubits[source.qubit].readout for source in point.program.bits]

    def _windows(self, point: _Point) -> dict[int, Window]:
        qubits = list(self._configuration.device.qubits.values())
        return {
            bins.qubit: Window(
                nanoseconds(qubits[bins.qubit].readout.delay_seconds), bins.intermediate_hz
            )
            for bins in point.schedules[0].bins
        }

    def _attrs(self, points: Sequence[_Point], seconds: float) -> dict[str, Any]:
        versions = self._instruments.versions
        hashes = [one.instructions_hash for point in points for one in point.schedules]
        return {
            "qpu": self._settings.name,
            "executor": self._settings.executor,
            "device_file_hash": self._configuration.device_hash,
            "hardware_file_hash": self._configuration.hardware_hash,
            "schedule_hashes": " ".join(dict.fromkeys(hashes)),
            "calibrated": _moment(self._configuration.device.calibrated),
            "seconds": seconds,
            **{f"{package}_version": version for package, version in versions.items()},
        }


def _moment(at: datetime | None) -> str:
    """In UTC; empty where the device file does not say."""
    return at.astimezone(UTC).isoformat() if at else ""


def _seed(point: _Point, run: Run) -> int:
    """Another one for each part of a point's shots."""
    return point.seed + run.shot
