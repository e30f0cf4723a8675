"""The Prefect worker type ``qpu``. Prefect loads this package itself (``prefect.collections``)."""

from qpuflow.deployments.worker.worker import QpuWorker

__all__ = ["QpuWorker"]
