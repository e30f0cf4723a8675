"""What both schedulers of Qblox clusters do alike: one came from the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.executors.base import Bins, Schedule
from qpuflow.drivers.qblox.executors.instructions import (
    check_memory,
    compiling,
    instructions_hash,
)
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

_CONDITION_SECONDS = 4e-9
"""What the compilers want free behind a conditional block."""


class SchedulingExecutor(ABC):
    """An `Executor`. A subclass names its scheduler's classes, and knows where the two differ."""

    gates: ClassVar[Any]
    schedule_class: ClassVar[Any]
    idle_class: ClassVar[Any]
    conditional_class: ClassVar[Any]
    coordinator_class: ClassVar[Any]
    component_class: ClassVar[Any]
    compiler_class: ClassVar[Any]

    def __init__(self, configuration: Configuration, cluster: Cluster) -> None:
        hardware = configuration.hardware
        self._chip = configuration.device
        self._names = configuration.device.names
        self._durations = Durations(configuration.device)
        self._cluster = hardware.cluster_name
        self._kinds = {slot: one.instrument_type for slot, one in hardware.cluster.modules.items()}
        self._config: Any = self._configured(configuration)
        self._compiler: Any = self.compiler_class("qpuflow_compiler")
        self.coordinator: Any = self.coordinator_class("qpuflow", add_default_generic_icc=False)
        self.coordinator.add_component(self.component_class(cluster))

    def compile(self, upload: Upload) -> Schedule:
        with compiling():
            compiled = self._compiler.compile(self._schedule(upload), self._config)
        instructions = compiled.compiled_instructions.get(self._cluster, {})
        check_memory(instructions, self._kinds)
        return Schedule(
            upload,
            tuple(self._bins(instructions)),
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

    @abstractmethod
    def _configured(self, configuration: Configuration) -> Any:
        """What its compiler is given beside a schedule."""

    @abstractmethod
    def _frame(self, name: str, degrees: float) -> Any:
        """What turns the qubit by so much about z."""

    @abstractmethod
    def _measure(self, name: str, acquire: Acquire, upload: Upload) -> Any: ...
    @abstractmethod
    def _bins(self, instructions: Mapping[str, Any]) -> Iterator[Bins]: ...

    def _schedule(self, upload: Upload) -> Any:
        schedule = self.schedule_class("upload", repetitions=upload.repetitions)
        lead = schedule.add(self.idle_class(4e-9))
        timeline = by_oscillator(upload.timeline(self._durations), self._chip)
        self._fill(schedule, timeline, upload, after=lead)
        return schedule

    def _fill(
        self,
        schedule: Any,
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
                return self.gates.Rxy(theta, phi, self._names[qubit])
            case Frame(qubit=qubit, degrees=degrees):
                return self._frame(self._names[qubit], degrees)
            case ControlledPhase(first=first, second=second):
                return self.gates.CZ(self._names[first], self._names[second])
            case Acquire(qubit=qubit):
                return self._measure(self._names[qubit], operation, upload)
            case Conditional(source=source, body=body):
                inner = self.schedule_class("body")
                self._fill(inner, body, upload)
                name = self._names[source]
                return self.conditional_class(inner, name, hardware_buffer_time=_CONDITION_SECONDS)
            case _:
                return None
