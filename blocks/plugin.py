"""The block of a QPU whose driver comes from another package."""

from __future__ import annotations

from typing import Any

from prefect.blocks.abstract import CredentialsBlock
from prefect.types import SecretDict
from pydantic import Field, SecretStr

from qpuflow.blocks.expiry import ExpiresAt
from qpuflow.blocks.qpu import DOCUMENTATION, QpuBlock
from qpuflow.drivers.base import Driver


class QpuCredentials(CredentialsBlock):
    """What a driver needs to log in. Kept encrypted by Prefect, shown nowhere."""

    _block_type_name = "QPU credentials"
    _block_type_slug = "qpu-credentials"
    _documentation_url = DOCUMENTATION
    _description = "A token, and whatever else a QPU's driver needs to log in."

    token: SecretStr = Field(title="Token", description="API token or password.")
    more: SecretDict = Field(
        default_factory=lambda: SecretDict({}),
        title="More secrets",
        description="Further values by name, as the driver's documentation asks for.",
    )

    expires_at: ExpiresAt = None

    def get_client(self, *_: Any, **__: Any) -> dict[str, str]:
        """The secrets in clear, for the driver only."""
        return {"token": self.token.get_secret_value(), **self.more.get_secret_value()}


class PluginQpu(QpuBlock):
    """A QPU whose driver another package brings, by an entry point in ``qpuflow.drivers``."""

    _block_type_name = "Plug-in QPU"
    _block_type_slug = "plugin-qpu"
    _documentation_url = DOCUMENTATION
    _description = "A QPU whose driver comes from another installed package."

    kind: str = Field(
        title="Driver", description="Name of the driver's entry point in the group qpuflow.drivers."
    )
    settings: dict[str, Any] = Field(
        default_factory=dict[str, Any],
        title="Settings",
        description="As the driver documents them.",
    )
    credentials: QpuCredentials | None = Field(default=None, title="Credentials")

    def driver(self, name: str) -> Driver:
        from qpuflow.drivers.loading import load_factory

        secrets = self.credentials.get_client() if self.credentials else {}
        return load_factory(self.kind)(name, self.settings, secrets)
