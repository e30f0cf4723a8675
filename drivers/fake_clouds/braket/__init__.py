"""A fake Amazon Braket."""

from qpuflow.drivers.fake_clouds.braket.cloud import FakeBraket
from qpuflow.drivers.fake_clouds.braket.devices import QPU, SIMULATOR

__all__ = ["QPU", "SIMULATOR", "FakeBraket"]
