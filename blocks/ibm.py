"""The blocks of IBM Quantum's backends."""

from __future__ import annotations

from typing import Any

from prefect.blocks.abstract import CredentialsBlock
from pydantic import Field, SecretStr

from qpuflow.blocks.expiry import ExpiresAt
from qpuflow.blocks.qpu import DOCUMENTATION, QpuBlock
from qpuflow.drivers.base import Driver
from qpuflow.drivers.ibm.settings import IbmSettings


class IbmCredentials(CredentialsBlock):
    """An API key of IBM Cloud. Kept encrypted by Prefect, shown nowhere."""

    _block_type_name = "IBM Quantum credentials"
    _block_type_slug = "ibm-credentials"
    _documentation_url = DOCUMENTATION
    _description = "An API key of IBM Cloud, as the IBM Quantum Platform gives it."

    token: SecretStr = Field(title="API key")

    expires_at: ExpiresAt = None

    def get_client(self, *_: Any, **__: Any) -> dict[str, str]:
        """The secret in clear, for the driver only."""
        return {"token": self.token.get_secret_value()}


class IbmQpu(QpuBlock):
    """A backend of IBM Quantum, or the model of one on this machine."""

    _block_type_name = "IBM Quantum QPU"
    _block_type_slug = "ibm-qpu"
    _documentation_url = DOCUMENTATION
    _description = "A backend of IBM Quantum, or the model of one on this machine."

    settings: IbmSettings = Field(title="Backend")
    credentials: IbmCredentials | None = Field(default=None, title="Credentials")

    def driver(self, name: str) -> Driver:
        from qpuflow.drivers.ibm import IbmDriver

        secrets = self.credentials.get_client() if self.credentials else {}
        return IbmDriver(name, self.settings, secrets)
