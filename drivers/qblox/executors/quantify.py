"""Schedules by quantify-scheduler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import quantify_scheduler
from quantify_scheduler import InstrumentCoordinator, SerialCompiler
from quantify_scheduler import Schedule as QuantifySchedule
from quantify_scheduler.enums import BinMode
from quantify_scheduler.instrument_coordinator.components.qblox import ClusterComponent
from quantify_scheduler.operations import gate_library as gates
from quantify_scheduler.operations.control_flow_library import ConditionalOperation
from quantify_scheduler.operations.pulse_library import IdlePulse

from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.executors.base import Bins, Schedule
from qpuflow.drivers.qblox.executors.instructions import (
    check_memory,
    compiling,
    instructions_hash,
    sequencers,
)
from qpuflow.drivers.qblox.executors.quantify_device import quantum_device
from qpuflow.drivers.qblox.programs import (
    Acquire,
    Conditional,
    ControlledPhase,
    Durations,
    Frame,
    Operation,
    Timed,
    TimedTurn,
    Turn,
    Upload,
    by_oscillator,
)

if TYPE_CHECKING:
    from qblox_instruments import Cluster

_CONFIG_TYPE = "quantify_scheduler.backends.qblox_backend.QbloxHardwareCompilationConfig"
_CONDITION_SECONDS = 4e-9
"""What the compiler wants free behind a conditional block."""


class QuantifyExecutor:
    """See `Executor`."""

    def __init__(self, configuration: Configuration, cluster: Cluster) -> None:
        self.versions = {"quantify_scheduler": quantify_scheduler.__version__}
        chip, hardware = configuration.device, configuration.hardware
        self._chip = chip
        self._names = chip.names
        self._durations = Durations(chip)
        self._cluster = hardware.cluster_name
        self._kinds = {slot: one.instrument_type for slot, one in hardware.cluster.modules.items()}
        device = quantum_device(chip)
        device.hardware_config(hardware.for_scheduler(_CONFIG_TYPE))
        self._config: Any = device.generate_compilation_config()
        self._compiler = SerialCompiler("qpuflow_compiler")
        self.coordinator = InstrumentCoordinator("qpuflow", add_default_generic_icc=False)
        self.coordinator.add_component(ClusterComponent(cluster))

    def compile(self, upload: Upload) -> Schedule:
        with compiling():
            compiled = self._compiler.compile(self._schedule(upload), self._config)
        instructions = compiled.compiled_instructions.get(self._cluster, {})
        check_memory(instructions, self._kinds)
        return Schedule(
            upload,
            tuple(_bins(instructions)),
            upload.duration_ns(self._durations) * 1e-9,
            instructions_hash(instructions),
            compiled,
        )

    def load(self, schedule: Schedule) -> None:
        self.coordinator.prepare(schedule.compiled)

    def start(self) -> None:
        self.coordinator.start()

    def is_running(self) -> bool:
        return self.coordinator.is_running

    def stop(self) -> None:
        self.coordinator.stop()

    def _schedule(self, upload: Upload) -> QuantifySchedule:
        schedule = QuantifySchedule("upload", repetitions=upload.repetitions)
        lead = schedule.add(IdlePulse(4e-9))
        timeline = by_oscillator(upload.timeline(self._durations), self._chip)
        self._fill(schedule, timeline, upload, after=lead)
        return schedule

    def _fill(
        self,
        schedule: QuantifySchedule,
        timeline: Iterable[Timed | TimedTurn],
        upload: Upload,
        after: Any = None,
    ) -> None:
        """At the timeline's times; without an `after`, the first operation is at 0."""
        anchor, point = after, "end"
        for timed in timeline:
            if (operation := self._operation(timed.operation, upload)) is not None:
                added = schedule.add(operation, timed.start_ns * 1e-9, anchor, point, "start")
                if anchor is None:
                    anchor, point = added, "start"

    def _operation(self, operation: Operation, upload: Upload) -> Any:
        """None where only time passes."""
        match operation:
            case Turn(qubit=qubit, theta=theta, phi=phi):
                return gates.Rxy(theta, phi, self._names[qubit])
            case Frame(qubit=qubit, degrees=degrees):
                # Its Rz shifts the drive's phase by +theta, which turns the qubit by -theta;
                # qblox-scheduler has mended that since.
                return gates.Rz(-degrees, self._names[qubit])
            case ControlledPhase(first=first, second=second):
                return gates.CZ(self._names[first], self._names[second])
            case Acquire():
                return self._measure(operation, upload)
            case Conditional(source=source, body=body):
                inner = QuantifySchedule("body")
                self._fill(inner, body, upload)
                name = self._names[source]
                return ConditionalOperation(inner, name, hardware_buffer_time=_CONDITION_SECONDS)
            case _:
                return None

    def _measure(self, acquire: Acquire, upload: Upload) -> Any:
        name = self._names[acquire.qubit]
        return gates.Measure(
            name,
            acq_index=acquire.index,
            acq_protocol="ThresholdedAcquisition",
            bin_mode=BinMode.AVERAGE if upload.averaged else BinMode.APPEND,
            feedback_trigger_label=name if acquire.feeds else None,
        )


def _bins(instructions: Mapping[str, Any]) -> Iterator[Bins]:
    for sequencer in sequencers(instructions):
        for channel, places in (sequencer.mapping or {}).items():
            first = next(iter(places.values()))
            offsets = [place.bin for place in places.values()]
            yield sequencer.bins(channel, first.index, offsets, first.stride)
