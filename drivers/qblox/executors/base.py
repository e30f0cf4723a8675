"""What a scheduler does for qpuflow: a schedule for programs, and its upload.

Running it and reading it is the same for all of them (`qpuflow.drivers.qblox.instruments`), for
what they compile to runs on the same instruments. Another vendor's executor (Intermodulation
Products' Presto, say) would be a class of this interface and an entry in `_EXECUTORS`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.programs import Upload

if TYPE_CHECKING:
    from qblox_instruments import Cluster

ExecutorName = Literal["quantify", "qblox"]
_EXECUTORS: dict[ExecutorName, str] = {
    "quantify": "qpuflow.drivers.qblox.executors.quantify:QuantifyExecutor",
    "qblox": "qpuflow.drivers.qblox.executors.qblox:QbloxExecutor",
}


@dataclass(frozen=True, slots=True)
class Bins:
    """Where a sequencer puts one qubit's acquisitions, and how it classifies them.

    Acquisition k of repetition r is in bin ``offsets[k] + r * stride``. What a bin holds is summed
    over `integration_ns` samples, after they were brought down from `intermediate_hz`; turned by
    `rotation_degrees`, it is compared with `threshold`.
    """

    qubit: int
    slot: int
    sequencer: int
    acquisition: str
    offsets: tuple[int, ...]
    stride: int
    integration_ns: int
    rotation_degrees: float
    threshold: float
    intermediate_hz: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """What was compiled, ready for upload. `duration_seconds` is that of one repetition."""

    upload: Upload
    bins: tuple[Bins, ...]
    duration_seconds: float
    instructions_hash: str
    compiled: Any = field(repr=False)


class Executor(Protocol):
    """Made once in a process, for one cluster."""

    versions: ClassVar[dict[str, str]]

    def __init__(self, configuration: Configuration, cluster: Cluster) -> None: ...
    def compile(self, upload: Upload) -> Schedule:
        """`InputError` where the instruments cannot do it."""
        ...

    def load(self, schedule: Schedule) -> None:
        """Programs and settings into the modules."""
        ...

    def start(self) -> None: ...
    def is_running(self) -> bool: ...
    def stop(self) -> None: ...


def load_executor(name: ExecutorName, configuration: Configuration, cluster: Cluster) -> Executor:
    module, _, attribute = _EXECUTORS[name].partition(":")
    factory: type[Executor] = getattr(importlib.import_module(module), attribute)
    return factory(configuration, cluster)
