"""What a readout line carries while it is read: a tone for each qubit, in noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from qpuflow.drivers.qblox.cluster import MOST_SAMPLES
from qpuflow.drivers.qblox.config import DeviceFile
from qpuflow.drivers.qblox.config.values import nanoseconds
from qpuflow.drivers.qblox.dummy.chip import Cloud, Relaxation
from qpuflow.drivers.qblox.dummy.simulation import simulate
from qpuflow.drivers.qblox.executors.base import Bins, Schedule
from qpuflow.drivers.qblox.programs import Acquire, NativeProgram

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def trace(
    schedule: Schedule,
    scope: Bins,
    clouds: Sequence[Cloud],
    chip: DeviceFile,
    seed: int,
    *,
    relaxation: Mapping[int, Relaxation],
) -> NDArray[np.complex128]:
    """The input of a module while one of its sequencers acquires; the mean of all repetitions.

    Shape (sample,), one a ns, in full scales. All qubits are in it that the module reads at that
    time. Brought down to 0 Hz and summed up, a qubit's tone is a point of its cloud.
    """
    import numpy as np

    (program,) = schedule.upload.programs
    shots = schedule.upload.repetitions
    random = np.random.default_rng(seed)
    states = simulate(program, shots, int(random.integers(2**31)), relaxation)
    readouts = [qubit.readout for qubit in chip.qubits.values()]
    begin = _start_ns(program, scope.qubit) + nanoseconds(readouts[scope.qubit].delay_seconds)
    clock = begin + np.arange(min(scope.integration_ns, MOST_SAMPLES))
    noise = clouds[scope.qubit].sigma * np.sqrt(scope.integration_ns / shots)
    seen = noise * (random.normal(size=len(clock)) + 1j * random.normal(size=len(clock)))
    for bins in schedule.bins:
        if bins.slot == scope.slot:
            own, cloud = readouts[bins.qubit], clouds[bins.qubit]
            excited = states[bins.qubit][:, 0].mean()
            point = excited * complex(*cloud.excited) + (1 - excited) * complex(*cloud.ground)
            since = clock - _start_ns(program, bins.qubit)
            arrived = since - nanoseconds(own.delay_seconds)
            is_there = (arrived >= 0) & (arrived < nanoseconds(own.pulse_seconds))
            seen += is_there * point * np.exp(2e-9j * np.pi * bins.intermediate_hz * since)
    return seen


def _start_ns(program: NativeProgram, qubit: int) -> int:
    """Of the qubit's one readout pulse."""
    return next(
        timed.start_ns
        for timed in program.operations
        if isinstance(timed.operation, Acquire) and timed.operation.qubit == qubit
    )
