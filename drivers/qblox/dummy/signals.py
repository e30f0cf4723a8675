"""What the dummy cluster acquires in one run: injected before it, gone after it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from qpuflow.drivers.qblox.config import DeviceFile
from qpuflow.drivers.qblox.dummy.chip import Cloud, DummyChip
from qpuflow.drivers.qblox.dummy.simulation import simulate
from qpuflow.drivers.qblox.dummy.tones import trace
from qpuflow.drivers.qblox.executors.base import Bins, Schedule
from qpuflow.drivers.qblox.programs import Upload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qblox_instruments import Cluster


class _Bin(NamedTuple):
    """As `qblox_instruments.DummyBinnedAcquisitionData`; a tuple costs a third of the time."""

    data: tuple[float, float]
    thres: float
    avg_cnt: int


Filled = tuple[Bins, "list[_Bin | None]"]
"""Where a sequencer's bins are, and what is in them."""


class Signals:
    """Of one chip on one dummy cluster."""

    def __init__(self, dummy: DummyChip, chip: DeviceFile, cluster: Cluster) -> None:
        self._clouds = [dummy.clouds[name] for name in chip.names]
        self._relaxation = dummy.relaxation_of(chip.names)
        self._chip = chip
        self._cluster = cluster

    def prepare(self, schedule: Schedule, seeds: Sequence[int]) -> list[Filled]:
        """All that this run shall acquire. One seed a program."""
        points = self._points(schedule.upload, seeds)
        return [
            (bins, _filled(bins, points[bins.qubit], schedule.upload)) for bins in schedule.bins
        ]

    def inject(self, prepared: Sequence[Filled]) -> None:
        for bins, filled in prepared:
            _sequencer(self._cluster, bins).set_dummy_binned_acquisition_data(
                acq_index_name=bins.acquisition, data=filled
            )

    def inject_traces(
        self, schedule: Schedule, scopes: Sequence[Bins], seeds: Sequence[int]
    ) -> None:
        """What the scopes of modules shall record. The schedule has one program then."""
        from qblox_instruments import DummyScopeAcquisitionData

        shots = schedule.upload.repetitions
        for bins in scopes:
            seen = trace(
                schedule, bins, self._clouds, self._chip, seeds[0], relaxation=self._relaxation
            )
            samples = list(zip(seen.real.tolist(), seen.imag.tolist(), strict=True))
            data = DummyScopeAcquisitionData(samples, (False, False), (shots, shots))
            # The module's own method does not know its slot, and the sequencer does not matter.
            self._cluster.set_dummy_scope_acquisition_data(bins.slot, None, data)

    def clear(self, schedule: Schedule) -> None:
        """The dummy hands out what was injected once again and again, unless it is deleted."""
        for bins in schedule.bins:
            _sequencer(self._cluster, bins).delete_dummy_binned_acquisition_data()
        for slot in {bins.slot for bins in schedule.bins}:
            self._cluster.delete_dummy_scope_acquisition_data(slot, None)

    def _points(self, upload: Upload, seeds: Sequence[int]) -> dict[int, NDArray[np.complex128]]:
        """By qubit, with the shape (shot, acquisition)."""
        import numpy as np

        parts: defaultdict[int, list[NDArray[np.complex128]]] = defaultdict(list)
        for program, own in zip(upload.programs, seeds, strict=True):
            random = np.random.default_rng(own)
            seed = int(random.integers(2**31))
            states = simulate(program, upload.repetitions, seed, self._relaxation)
            for qubit, excited in states.items():
                parts[qubit].append(_scattered(self._clouds[qubit], excited, random))
        return {qubit: np.concatenate(those, axis=1) for qubit, those in parts.items()}


def _scattered(
    cloud: Cloud, excited: NDArray[np.bool_], random: np.random.Generator
) -> NDArray[np.complex128]:
    import numpy as np

    centres = np.where(excited, complex(*cloud.excited), complex(*cloud.ground))
    noise = random.normal(scale=cloud.sigma, size=(2, *excited.shape))
    return centres + noise[0] + 1j * noise[1]


def _filled(bins: Bins, points: NDArray[np.complex128], upload: Upload) -> list[_Bin | None]:
    """One qubit's bins as its sequencer would fill them, threshold included."""
    import numpy as np

    sums = points * bins.integration_ns
    ones = (sums * np.exp(1j * np.radians(bins.rotation_degrees))).real >= bins.threshold
    if upload.averaged:
        counts, sums, ones = upload.repetitions, sums.mean(axis=0)[None], ones.mean(axis=0)[None]
    else:
        counts = 1
    repetitions = len(sums)
    filled: list[Any] = [None] * (bins.stride * repetitions)
    for index, offset in enumerate(bins.offsets):
        column, bits = sums[:, index], ones[:, index]
        values = zip(column.real.tolist(), column.imag.tolist(), bits.tolist(), strict=True)
        filled[offset :: bins.stride] = [_Bin((i, q), bit, counts) for i, q, bit in values]
    return filled


def _sequencer(cluster: Cluster, bins: Bins) -> Any:
    return cluster.modules[bins.slot - 1].sequencers[bins.sequencer]
