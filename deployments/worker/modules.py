"""What is imported once, before any fork, by whoever starts workers or engines."""

from qpuflow.domain.compiling import MODULES as COMPILER_MODULES
from qpuflow.drivers.aer.execution import PRELOAD as AER_MODULES

NUMERICAL = (*COMPILER_MODULES, *AER_MODULES)
"""For compiling and simulating."""

PRELOAD = (
    "prefect.engine",
    "qpuflow.blocks",
    "qpuflow.deployments.worker.engine",
    "qpuflow.flows.one_job",
    "qpuflow.flows.run_batch",
    "qpuflow.flows.run_circuits",
    "xarray",
    *NUMERICAL,
)
"""For an engine."""
