"""The blocks of Quantinuum's machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from prefect.blocks.abstract import CredentialsBlock
from pydantic import Field, SecretStr

from qpuflow.blocks.expiry import ExpiresAt
from qpuflow.blocks.qpu import DOCUMENTATION, QpuBlock
from qpuflow.drivers.base import Driver
from qpuflow.drivers.quantinuum.settings import QuantinuumSettings

Show = Callable[[str], object]
"""Tells a person what to do."""


class QuantinuumCredentials(CredentialsBlock):
    """A user of Quantinuum's. Kept encrypted by Prefect, shown nowhere."""

    _block_type_name = "Quantinuum credentials"
    _block_type_slug = "quantinuum-credentials"
    _documentation_url = DOCUMENTATION
    _description = "A user of Quantinuum's with a password, or a refresh token of a login."

    user: str | None = Field(default=None, title="User", description="An e-mail address.")
    password: SecretStr | None = Field(default=None, title="Password")
    mfa_secret: SecretStr | None = Field(
        default=None,
        title="Secret of the second factor",
        description="In base 32, as an authenticator app is given it: verification codes are made "
        "from it when a full login asks for one.",
    )
    refresh_token: SecretStr | None = Field(
        default=None,
        title="Refresh token",
        description="Of a login made elsewhere or by Microsoft; good for a month after its last "
        "use.",
    )

    expires_at: ExpiresAt = None

    @classmethod
    def by_microsoft(
        cls, settings: QuantinuumSettings | None = None, show: Show = print, **more: Any
    ) -> Self:
        """Of a user who logs in to Quantinuum by Microsoft: shows a code and waits for the person.

        To be saved like any other credentials; `more` are their other fields. Raises `Unavailable`
        when nobody enters the code in time.
        """
        from qpuflow.drivers.quantinuum import microsoft

        where = settings or QuantinuumSettings(machine="H2-1")
        token = microsoft.refresh_token(where.url, show, where.microsoft_url)
        return cls(refresh_token=SecretStr(token), **more)

    def get_client(self, *_: Any, **__: Any) -> dict[str, str]:
        """The secrets in clear, for the driver only."""
        names = ("password", "mfa_secret", "refresh_token")
        secrets: dict[str, SecretStr | None] = {name: getattr(self, name) for name in names}
        known = {name: secret.get_secret_value() for name, secret in secrets.items() if secret}
        return {**known, **({"user": self.user} if self.user else {})}


class QuantinuumQpu(QpuBlock):
    """A machine of Quantinuum's, or its like on this machine."""

    _block_type_name = "Quantinuum QPU"
    _block_type_slug = "quantinuum-qpu"
    _documentation_url = DOCUMENTATION
    _description = "A machine of Quantinuum's, or its like on this machine."

    settings: QuantinuumSettings = Field(title="Machine")
    credentials: QuantinuumCredentials | None = Field(default=None, title="Credentials")

    def driver(self, name: str) -> Driver:
        from qpuflow.drivers.quantinuum import QuantinuumDriver

        secrets = self.credentials.get_client() if self.credentials else {}
        return QuantinuumDriver(name, self.settings, secrets)
