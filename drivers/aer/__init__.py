"""Qiskit Aer, simulated in processes that can be interrupted."""

from qpuflow.drivers.aer.driver import AerDriver
from qpuflow.drivers.aer.settings import AerSettings, Noise

__all__ = ["AerDriver", "AerSettings", "Noise"]
