"""Vendors' clouds on this machine: their wire protocols, their faults, and books of their own.

They run what they are sent, and they write down what they accepted and what they ran; that is what
a test of a driver, or of a flow, counts by. Weather (`Weather`) brings faults, drawn from a seed,
or one after the other as a test wants them.
"""

from qpuflow.drivers.fake_clouds.books import Books, Entry, Kind
from qpuflow.drivers.fake_clouds.serving import Serving, serving
from qpuflow.drivers.fake_clouds.weather import Fault, Weather

__all__ = ["Books", "Entry", "Fault", "Kind", "Serving", "Weather", "serving"]
