"""What a job needs before it has the instruments: native programs, uploads, compiled schedules.

It takes nothing of the instruments, and so is done for the next job while one plays.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from qpuflow.domain.executable import Executable
from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.executors import Schedule
from qpuflow.drivers.qblox.packing import Run, runs
from qpuflow.drivers.qblox.programs import NativeProgram, Upload, native_programs
from qpuflow.drivers.qblox.results import Measured
from qpuflow.drivers.qblox.settings import RackSettings
from qpuflow.drivers.qblox.traces import Traces


class Work(NamedTuple):
    """All that a job asks of the rack."""

    executables: Sequence[Executable]
    shots: int

    @property
    def is_averaged(self) -> bool:
        return any(executable.average for executable in self.executables)

    @property
    def is_traced(self) -> bool:
        return any(executable.measurement_level == 0 for executable in self.executables)


@dataclass(slots=True)
class Point:
    """One executable at one of its points, and what is known of its shots so far."""

    program: NativeProgram
    seed: int
    measured: list[Measured] = field(default_factory=list[Measured])
    traces: list[Traces] = field(default_factory=list[Traces])
    schedules: list[Schedule] = field(default_factory=list["Schedule"])


@dataclass(frozen=True, slots=True)
class Prepared:
    """The points of each executable; each run with its schedule. To be played once."""

    points: list[list[Point]]
    runs: list[tuple[Run, Schedule]]

    def played(self) -> Iterator[tuple[Run, Schedule, list[Point]]]:
        """In order, each run with the points that it is of."""
        flat = [point for points in self.points for point in points]
        for run, schedule in self.runs:
            yield run, schedule, flat[run.first : run.first + len(run.upload.programs)]


class Preparation:
    """Of one job, and of the one that comes after it."""

    def __init__(
        self,
        settings: RackSettings,
        configuration: Configuration,
        schedule: Callable[[Upload], Schedule],
    ) -> None:
        self._settings = settings
        self._configuration = configuration
        self._schedule = schedule
        self._ahead: tuple[Work, Prepared] | None = None

    def take(self, work: Work) -> Prepared:
        """`InputError` where a program is more than the rack can do."""
        ahead, self._ahead = self._ahead, None
        return ahead[1] if ahead and ahead[0] == work else self._prepare(work)

    def look_ahead(self, upcoming: Work | None) -> None:
        """Nothing is raised: what is wrong with it is told when its turn comes."""
        if upcoming is not None and (self._ahead is None or self._ahead[0] != upcoming):
            with contextlib.suppress(Exception):
                self._ahead = (upcoming, self._prepare(upcoming))

    def _prepare(self, work: Work) -> Prepared:
        points = [list(self._points(executable)) for executable in work.executables]
        programs = [point.program for those in points for point in those]
        planned = runs(programs, work.shots, average=work.is_averaged, traced=work.is_traced)
        return Prepared(points, [(run, self._schedule(run.upload)) for run in planned])

    def _points(self, executable: Executable) -> Iterator[Point]:
        programs = native_programs(executable, self._configuration.device)
        for program, seed in zip(programs, self._seeds(executable, len(programs)), strict=True):
            yield Point(program, seed)

    def _seeds(self, executable: Executable, count: int) -> list[int]:
        import numpy as np

        dummy = self._settings.dummy
        given = executable.seed if executable.seed is not None else dummy and dummy.seed
        seed = secrets.randbelow(2**31) if given is None else given
        return np.random.SeedSequence(seed).generate_state(count).tolist()
