"""Schedules by qblox-scheduler."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import qblox_scheduler
from qblox_scheduler import ConditionalOperation
from qblox_scheduler.backends.graph_compilation import SerialCompilationConfig, SerialCompiler
from qblox_scheduler.backends.qblox_backend import QbloxHardwareCompilationConfig
from qblox_scheduler.instrument_coordinator import InstrumentCoordinator
from qblox_scheduler.instrument_coordinator.components.qblox import ClusterComponent
from qblox_scheduler.operations import gate_library as gates
from qblox_scheduler.operations.pulse_library import IdlePulse
from qblox_scheduler.schedules import TimeableSchedule

from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.executors.base import Bins
from qpuflow.drivers.qblox.executors.instructions import sequencers
from qpuflow.drivers.qblox.executors.qblox_device import device_config
from qpuflow.drivers.qblox.executors.scheduling import SchedulingExecutor
from qpuflow.drivers.qblox.programs import Acquire, Upload

_CONFIG_TYPE = "QbloxHardwareCompilationConfig"


class QbloxExecutor(SchedulingExecutor):
    """See `Executor`."""

    versions: ClassVar[dict[str, str]] = {"qblox_scheduler": qblox_scheduler.__version__}
    gates = gates
    schedule_class = TimeableSchedule
    idle_class = IdlePulse
    conditional_class = ConditionalOperation
    coordinator_class = InstrumentCoordinator
    component_class = ClusterComponent
    compiler_class = SerialCompiler

    def _configured(self, configuration: Configuration) -> Any:
        return SerialCompilationConfig(
            name="qpuflow",
            device_compilation_config=device_config(configuration.device),
            hardware_compilation_config=QbloxHardwareCompilationConfig.model_validate(
                configuration.hardware.for_scheduler(_CONFIG_TYPE)
            ),
        )

    def _frame(self, name: str, degrees: float) -> Any:
        return gates.Rz(degrees, name)

    def _measure(self, name: str, acquire: Acquire, upload: Upload) -> Any:
        # Operations that are equal are one to the scheduler, which then adds to the one what each
        # of them needs to feed a condition. Coordinates tell them apart, and reach nothing else.
        return gates.Measure(
            name,
            coords={"index": acquire.index} if acquire.feeds else None,
            average_segment_repetitions=upload.averaged,
            feedback_trigger_label=name if acquire.feeds else None,
        )

    def _bins(self, instructions: Mapping[str, Any]) -> Iterator[Bins]:
        for sequencer in sequencers(instructions):
            for group in sequencer.mapping.binned if sequencer.mapping else ():
                leaves = list(_leaves(group.tree))
                first = group.qblox_acq_bin_offset
                offsets = range(first, first + len(leaves))
                qubit = self._names.index(leaves[0].acq_label)
                yield sequencer.bins(qubit, group.qblox_acq_index, offsets, len(leaves))


def _leaves(node: Any) -> Iterator[Any]:
    """Acquisitions in the order of their bins; the one loop is that of the repetitions."""
    if not hasattr(node, "children"):
        yield node
        return
    for child in node.children:
        yield from _leaves(child)
