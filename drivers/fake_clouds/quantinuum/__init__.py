"""A fake Quantinuum."""

from qpuflow.drivers.fake_clouds.quantinuum.cloud import FakeQuantinuum
from qpuflow.drivers.fake_clouds.quantinuum.machines import MACHINE, SYNTAX_CHECKER

__all__ = ["MACHINE", "SYNTAX_CHECKER", "FakeQuantinuum"]
