"""Quantinuum: machines and emulators in its cloud, and their like on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qpuflow.drivers.base import Driver
from qpuflow.drivers.extras import require
from qpuflow.drivers.quantinuum.settings import EMULATOR, QuantinuumSettings
from qpuflow.drivers.settings import validated

__all__ = ["QuantinuumDriver", "QuantinuumSettings"]


def QuantinuumDriver(  # noqa: N802  a factory that reads as the class it stands for
    name: str,
    settings: Mapping[str, Any] | QuantinuumSettings,
    secrets: Mapping[str, str] | None = None,
) -> Driver:
    """Cheap: pytket is imported at first use, and in processes of its own.

    `secrets`: user and password; mfa_secret, where logins take a second factor; refresh_token, of
    a login made elsewhere.
    """
    known = validated(QuantinuumSettings, name, settings)
    require("quantinuum", "pytket.extensions.quantinuum", "pytket.extensions.qiskit")
    if known.is_local:
        if known.machine.endswith(EMULATOR):
            require("quantinuum-emulator", "pytket_pecos")
        else:
            require("aer", "qiskit_aer")
        from qpuflow.drivers.quantinuum.local import LocalQuantinuumDriver

        return LocalQuantinuumDriver(name, known)
    from qpuflow.drivers.quantinuum.driver import CloudQuantinuumDriver

    return CloudQuantinuumDriver(name, known, secrets or {})
