"""The command ``qpuflow``."""

from qpuflow.deployments.cli.app import main

__all__ = ["main"]
