"""Schedules by quantify-scheduler."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import quantify_scheduler
from quantify_scheduler import InstrumentCoordinator, SerialCompiler
from quantify_scheduler import Schedule as QuantifySchedule
from quantify_scheduler.enums import BinMode
from quantify_scheduler.instrument_coordinator.components.qblox import ClusterComponent
from quantify_scheduler.operations import gate_library as gates
from quantify_scheduler.operations.control_flow_library import ConditionalOperation
from quantify_scheduler.operations.pulse_library import IdlePulse

from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.executors.base import Bins
from qpuflow.drivers.qblox.executors.instructions import sequencers
from qpuflow.drivers.qblox.executors.quantify_device import quantum_device
from qpuflow.drivers.qblox.executors.scheduling import SchedulingExecutor
from qpuflow.drivers.qblox.programs import Acquire, Upload

_CONFIG_TYPE = "quantify_scheduler.backends.qblox_backend.QbloxHardwareCompilationConfig"


class QuantifyExecutor(SchedulingExecutor):
    """See `Executor`."""

    versions: ClassVar[dict[str, str]] = {"quantify_scheduler": quantify_scheduler.__version__}
    gates = gates
    schedule_class = QuantifySchedule
    idle_class = IdlePulse
    conditional_class = ConditionalOperation
    coordinator_class = InstrumentCoordinator
    component_class = ClusterComponent
    compiler_class = SerialCompiler

    def _configured(self, configuration: Configuration) -> Any:
        device = quantum_device(configuration.device)
        device.hardware_config(configuration.hardware.for_scheduler(_CONFIG_TYPE))
        return device.generate_compilation_config()

    def _frame(self, name: str, degrees: float) -> Any:
        # Its Rz shifts the drive's phase by +theta, which turns the qubit by -theta;
        # qblox-scheduler has mended that since.
        return gates.Rz(-degrees, name)

    def _measure(self, name: str, acquire: Acquire, upload: Upload) -> Any:
        return gates.Measure(
            name,
            acq_index=acquire.index,
            acq_protocol="ThresholdedAcquisition",
            bin_mode=BinMode.AVERAGE if upload.averaged else BinMode.APPEND,
            feedback_trigger_label=name if acquire.feeds else None,
        )

    def _bins(self, instructions: Mapping[str, Any]) -> Iterator[Bins]:
        for sequencer in sequencers(instructions):
            for channel, places in (sequencer.mapping or {}).items():
                first = next(iter(places.values()))
                offsets = [place.bin for place in places.values()]
                yield sequencer.bins(channel, first.index, offsets, first.stride)
