"""The blocks of Amazon Braket's devices."""

from __future__ import annotations

from typing import Any

from prefect.blocks.abstract import CredentialsBlock
from pydantic import Field, SecretStr

from qpuflow.blocks.expiry import ExpiresAt
from qpuflow.blocks.qpu import DOCUMENTATION, QpuBlock
from qpuflow.drivers.base import Driver
from qpuflow.drivers.braket.settings import BraketSettings


class BraketCredentials(CredentialsBlock):
    """Keys or a profile for Amazon Braket. Kept encrypted by Prefect, shown nowhere."""

    _block_type_name = "Amazon Braket credentials"
    _block_type_slug = "braket-credentials"
    _documentation_url = DOCUMENTATION
    _description = (
        "Keys or a profile for Amazon Braket. All empty: what the worker's machine has, be it "
        "environment variables or a role."
    )

    access_key_id: SecretStr | None = Field(default=None, title="Access key ID")
    secret_access_key: SecretStr | None = Field(default=None, title="Secret access key")
    session_token: SecretStr | None = Field(
        default=None, title="Session token", description="Of temporary keys only."
    )
    profile: str | None = Field(
        default=None,
        title="Profile",
        description="In the AWS configuration of the worker's machine: for roles and single "
        "sign-on, which renew their keys themselves.",
    )

    expires_at: ExpiresAt = None

    def get_client(self, *_: Any, **__: Any) -> dict[str, str]:
        """The secrets in clear, for the driver only."""
        keys = ("access_key_id", "secret_access_key", "session_token")
        secrets: dict[str, SecretStr | None] = {key: getattr(self, key) for key in keys}
        known = {key: secret.get_secret_value() for key, secret in secrets.items() if secret}
        return {**known, **({"profile": self.profile} if self.profile else {})}


class BraketQpu(QpuBlock):
    """A device of Amazon Braket, or one of its simulators on this machine."""

    _block_type_name = "Amazon Braket QPU"
    _block_type_slug = "braket-qpu"
    _documentation_url = DOCUMENTATION
    _description = "A device of Amazon Braket, or one of its simulators on this machine."

    settings: BraketSettings = Field(title="Device")
    credentials: BraketCredentials | None = Field(default=None, title="Credentials")

    def driver(self, name: str) -> Driver:
        from qpuflow.drivers.braket import BraketDriver

        secrets = self.credentials.get_client() if self.credentials else {}
        return BraketDriver(name, self.settings, secrets)
