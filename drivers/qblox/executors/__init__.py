"""The two schedulers of Qblox clusters behind one interface. Imported only in the process that
owns the instruments: each takes seconds to import, and names its instruments process-wide."""

from qpuflow.drivers.qblox.executors.base import Bins, Executor, Schedule, load_executor

__all__ = ["Bins", "Executor", "Schedule", "load_executor"]
