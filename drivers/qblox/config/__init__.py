"""The two files that describe a rack: the chip with its calibration, and the wiring."""

from qpuflow.drivers.qblox.config.chip import Coupling, DeviceFile, Qubit
from qpuflow.drivers.qblox.config.rack import Configuration, load_configuration
from qpuflow.drivers.qblox.config.wiring import HardwareFile

__all__ = [
    "Configuration",
    "Coupling",
    "DeviceFile",
    "HardwareFile",
    "Qubit",
    "load_configuration",
]
