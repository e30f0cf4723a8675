"""One cluster with one scheduler: schedules compiled once, run, read. Stale data never returns."""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qpuflow.domain.errors import Unavailable
from qpuflow.drivers.qblox.cluster import connect, point_scope, read, read_scope, temperatures
from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.dummy import Signals
from qpuflow.drivers.qblox.executors import Bins, Schedule, load_executor
from qpuflow.drivers.qblox.programs import Upload
from qpuflow.drivers.qblox.results import Acquired
from qpuflow.drivers.qblox.settings import RackSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Meanwhile = Callable[[float], None]
"""What is done once the sequencers play, told for how many seconds they do."""
KEPT_SCHEDULES = 32
POLL_SECONDS = 0.001
GRACE_SECONDS = 10.0
"""What a run may take beyond what its schedule lasts, before it counts as stuck."""


class Instruments:
    """Made once in a process: schedulers name their instruments process-wide."""

    def __init__(self, settings: RackSettings, configuration: Configuration) -> None:
        dummy = settings.dummy
        self._real_time = dummy is None or dummy.real_time
        self._cluster = connect(configuration.hardware, dummy=dummy is not None)
        self._executor = load_executor(settings.executor, configuration, self._cluster)
        chip = configuration.device
        self._signals = Signals(dummy, chip, self._cluster) if dummy else None
        self._schedules: OrderedDict[Upload, Schedule] = OrderedDict()
        self._loaded: Schedule | None = None
        self.versions = self._executor.versions

    def schedule(self, upload: Upload) -> Schedule:
        """Compiled, or remembered: the same programs are compiled once."""
        if upload not in self._schedules:
            self._schedules[upload] = self._executor.compile(upload)
        self._schedules.move_to_end(upload)
        while len(self._schedules) > KEPT_SCHEDULES:
            self._schedules.popitem(last=False)
        return self._schedules[upload]

    def run(
        self, schedule: Schedule, seeds: Sequence[int], meanwhile: Meanwhile
    ) -> dict[int, Acquired]:
        """By qubit. `seeds`, one a program, are for a dummy's chip; real ones have none."""
        with self._played(schedule, seeds, meanwhile):
            return {bins.qubit: self._read(bins, schedule.upload) for bins in schedule.bins}

    def trace(
        self, schedule: Schedule, seed: int, meanwhile: Meanwhile
    ) -> dict[int, NDArray[np.complex128]]:
        """By qubit what the input saw, averaged; see `read_scope`. The schedule has one program.

        A module has one scope: where it reads several qubits, each of them takes a run.
        """
        shots = schedule.upload.repetitions
        found: dict[int, NDArray[np.complex128]] = {}
        for scopes in _one_a_module(schedule.bins):
            with self._played(schedule, [seed], meanwhile, scopes):
                found |= {bins.qubit: read_scope(self._cluster, bins, shots) for bins in scopes}
        return found

    def stop(self) -> None:
        """Every sequencer. What was loaded must be loaded again."""
        self._loaded = None
        self._executor.stop()

    def telemetry(self) -> dict[str, float | str | None]:
        return dict(temperatures(self._cluster))

    @contextmanager
    def _played(
        self,
        schedule: Schedule,
        seeds: Sequence[int],
        meanwhile: Meanwhile,
        scopes: Sequence[Bins] = (),
    ) -> Generator[None]:
        """Reading is done inside: nothing of it is left behind afterwards."""
        if self._signals is not None:
            self._signals.clear(schedule)
            self._signals.inject(self._signals.prepare(schedule, seeds))
            self._signals.inject_traces(schedule, scopes, seeds)
        try:
            self._start(schedule, scopes)
            self._wait(schedule, meanwhile)
            yield
        except BaseException:
            self.stop()
            raise
        finally:
            if self._signals is not None:
                self._signals.clear(schedule)

    def _start(self, schedule: Schedule, scopes: Sequence[Bins]) -> None:
        if self._loaded is not schedule:
            self._loaded = None
            self._executor.load(schedule)
            self._loaded = schedule
        for bins in scopes:
            point_scope(self._cluster, bins)
        self._executor.start()

    def _wait(self, schedule: Schedule, meanwhile: Meanwhile) -> None:
        expected = schedule.duration_seconds * schedule.upload.repetitions
        began = time.monotonic()
        meanwhile(expected if self._real_time else 0.0)
        if self._real_time:
            time.sleep(max(0.0, began + expected - time.monotonic()))
        while self._executor.is_running():
            if time.monotonic() - began > expected + GRACE_SECONDS:
                raise Unavailable(
                    f"The sequencers have not stopped {GRACE_SECONDS:g} s after the "
                    f"{expected:.3f} s that the run lasts",
                    remedy="Look at the cluster's front panel for error flags.",
                )
            time.sleep(POLL_SECONDS)

    def _read(self, bins: Bins, upload: Upload) -> Acquired:
        import numpy as np

        points, ones = read(self._cluster, bins)
        shots = 1 if upload.averaged else upload.repetitions
        where = np.asarray(bins.offsets) + bins.stride * np.arange(shots)[:, None]
        return Acquired(_complete(points[where], bins), ones[where])


def _one_a_module(all_bins: Sequence[Bins]) -> Iterator[list[Bins]]:
    modules: defaultdict[int, list[Bins]] = defaultdict(list)
    for bins in all_bins:
        modules[bins.slot].append(bins)
    for index in range(max(map(len, modules.values()), default=0)):
        yield [those[index] for those in modules.values() if index < len(those)]


def _complete(points: NDArray[np.complex128], bins: Bins) -> NDArray[np.complex128]:
    import numpy as np

    if missing := int(np.isnan(points).sum()):
        raise Unavailable(
            f"{missing} of {points.size} acquisitions of sequencer {bins.sequencer} in slot "
            f"{bins.slot} never came",
            remedy="Check the trigger and the readout line; the cluster may need a restart.",
        )
    return points
