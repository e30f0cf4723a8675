"""Amazon Braket: devices in its cloud, and its simulators on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qpuflow.drivers.base import Driver
from qpuflow.drivers.braket.settings import BraketSettings
from qpuflow.drivers.extras import require
from qpuflow.drivers.settings import validated

__all__ = ["BraketDriver", "BraketSettings"]


def BraketDriver(  # noqa: N802  a factory that reads as the class it stands for
    name: str,
    settings: Mapping[str, Any] | BraketSettings,
    secrets: Mapping[str, str] | None = None,
) -> Driver:
    """Cheap: what is needed for the device is imported at first use."""
    known = validated(BraketSettings, name, settings)
    require("braket", "boto3", "braket.default_simulator")
    if known.is_local:
        from qpuflow.drivers.braket.local import LocalBraketDriver

        return LocalBraketDriver(name, known)
    from qpuflow.drivers.braket.driver import CloudBraketDriver

    return CloudBraketDriver(name, known, secrets or {})
