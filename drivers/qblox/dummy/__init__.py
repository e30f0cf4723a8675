"""A chip for the vendor's dummy cluster: what its inputs would see."""

from qpuflow.drivers.qblox.dummy.chip import Cloud, DummyChip
from qpuflow.drivers.qblox.dummy.signals import Signals

__all__ = ["Cloud", "DummyChip", "Signals"]
