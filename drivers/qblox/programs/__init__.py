"""From a compiled circuit to what a chip is told to do, and when."""

from qpuflow.drivers.qblox.programs.frames import by_oscillator
from qpuflow.drivers.qblox.programs.native import (
    Acquire,
    Conditional,
    ControlledPhase,
    Frame,
    NativeProgram,
    Operation,
    Relax,
    Timed,
    TimedTurn,
    Turn,
)
from qpuflow.drivers.qblox.programs.timing import Durations
from qpuflow.drivers.qblox.programs.translation import native_programs
from qpuflow.drivers.qblox.programs.upload import Upload

__all__ = [
    "Acquire",
    "Conditional",
    "ControlledPhase",
    "Durations",
    "Frame",
    "NativeProgram",
    "Operation",
    "Relax",
    "Timed",
    "TimedTurn",
    "Turn",
    "Upload",
    "by_oscillator",
    "native_programs",
]
