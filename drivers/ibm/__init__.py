"""IBM Quantum: backends in its cloud, and models of them on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qpuflow.drivers.base import Driver
from qpuflow.drivers.extras import require
from qpuflow.drivers.ibm.settings import IbmSettings
from qpuflow.drivers.settings import validated

__all__ = ["IbmDriver", "IbmSettings"]


def IbmDriver(  # noqa: N802  a factory that reads as the class it stands for
    name: str,
    settings: Mapping[str, Any] | IbmSettings,
    secrets: Mapping[str, str] | None = None,
) -> Driver:
    """Cheap: what is needed for the backend is imported at first use."""
    known = validated(IbmSettings, name, settings)
    if known.is_local:
        require("ibm", "qiskit_ibm_runtime")
        require("aer", "qiskit_aer")
        from qpuflow.drivers.ibm.local import LocalIbmDriver

        return LocalIbmDriver(name, known)
    require("ibm", "qiskit_ibm_runtime")
    from qpuflow.drivers.ibm.driver import CloudIbmDriver

    return CloudIbmDriver(name, known, secrets or {})
