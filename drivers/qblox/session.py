"""What a rack does with one job: programs in, datasets out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from qpuflow.domain.executable import Executable
from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.config.values import nanoseconds
from qpuflow.drivers.qblox.executors import Schedule
from qpuflow.drivers.qblox.instruments import Instruments, Meanwhile
from qpuflow.drivers.qblox.packing import Run
from qpuflow.drivers.qblox.preparation import Point, Preparation, Work
from qpuflow.drivers.qblox.results import Measured, by_program, dataset_of_points
from qpuflow.drivers.qblox.settings import RackSettings
from qpuflow.drivers.qblox.traces import Window, dataset_of_traces

if TYPE_CHECKING:
    import xarray as xr

    from qpuflow.drivers.qblox.config.chip import Readout


@dataclass(frozen=True, slots=True)
class Ran:
    """A dataset for each executable, and for how long the instruments were theirs."""

    datasets: tuple[xr.Dataset, ...]
    seconds: float


class Session:
    """Jobs on one rack, one after the other, from one thread."""

    def __init__(self, settings: RackSettings, configuration: Configuration) -> None:
        self._settings = settings
        self._configuration = configuration
        self._instruments = Instruments(settings, configuration)
        self._preparation = Preparation(settings, configuration, self._instruments.schedule)
        self._late_seconds = 0.0
        """Of the job that plays: for how long it waited for the preparation of the next one."""

    def execute(self, work: Work, upcoming: Work | None = None) -> Ran:
        """`InputError` where a program is more than the rack can do; nothing has run then.

        What comes next is prepared while this plays.
        """
        prepared = self._preparation.take(work)
        meanwhile = partial(self._look_ahead, upcoming)
        play = self._trace if work.is_traced else self._run
        began, self._late_seconds = time.perf_counter(), 0.0
        for run, schedule, points in prepared.played():
            play(run, schedule, points, meanwhile)
            for point in points:
                point.schedules.append(schedule)
        seconds = time.perf_counter() - began - self._late_seconds
        datasets = [
            self._dataset(executable, work.shots, points, seconds / len(work.executables))
            for executable, points in zip(work.executables, prepared.points, strict=True)
        ]
        return Ran(tuple(datasets), seconds)

    def _look_ahead(self, upcoming: Work | None, playing_seconds: float) -> None:
        """What takes longer than the run is another job's, and not for this one to pay."""
        began = time.perf_counter()
        self._preparation.look_ahead(upcoming)
        self._late_seconds += max(0.0, time.perf_counter() - began - playing_seconds)

    def _run(
        self, run: Run, schedule: Schedule, points: Sequence[Point], meanwhile: Meanwhile
    ) -> None:
        seeds = [_seed(point, run) for point in points]
        acquired = self._instruments.run(schedule, seeds, meanwhile)
        for point, part in zip(points, by_program(run.upload, acquired), strict=True):
            point.measured.append(Measured.of(run.upload, point.program, part))

    def _trace(
        self, run: Run, schedule: Schedule, points: Sequence[Point], meanwhile: Meanwhile
    ) -> None:
        (point,) = points
        traces = self._instruments.trace(schedule, _seed(point, run), meanwhile)
        point.traces.append(traces)

    def telemetry(self) -> dict[str, float | str | None]:
        return self._instruments.telemetry()

    def _dataset(
        self, executable: Executable, shots: int, points: Sequence[Point], seconds: float
    ) -> xr.Dataset:
        attrs = self._attrs(points, seconds)
        if executable.measurement_level == 0:
            first = points[0]
            traces, windows = [point.traces for point in points], self._windows(first)
            return dataset_of_traces(executable, shots, first.program, traces, windows, attrs)
        measured = [point.measured for point in points]
        return dataset_of_points(executable, shots, measured, self._readouts(points[0]), attrs)

    def _readouts(self, point: Point) -> list[Readout | None]:
        """Of each classical bit that anything wrote."""
        qubits = list(self._configuration.device.qubits.values())
        return [source and qubits[source.qubit].readout for source in point.program.bits]

    def _windows(self, point: Point) -> dict[int, Window]:
        qubits = list(self._configuration.device.qubits.values())
        return {
            bins.qubit: Window(
                nanoseconds(qubits[bins.qubit].readout.delay_seconds), bins.intermediate_hz
            )
            for bins in point.schedules[0].bins
        }

    def _attrs(self, points: Sequence[Point], seconds: float) -> dict[str, Any]:
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


def _seed(point: Point, run: Run) -> int:
    """Another one for each part of a point's shots."""
    return point.seed + run.shot
