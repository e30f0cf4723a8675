"""The Prefect worker type ``qpu``; the class is in `qpuflow.deployments.worker.worker`."""
