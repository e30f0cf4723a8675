"""A fake IBM Quantum."""

from qpuflow.drivers.fake_clouds.ibm.cloud import BACKEND, CRN, FakeIbm

__all__ = ["BACKEND", "CRN", "FakeIbm"]
