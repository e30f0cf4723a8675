"""The block of a cryostat."""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl, SecretStr

from qpuflow.blocks.qpu import DOCUMENTATION
from qpuflow.drivers.bluefors import Bluefors


class BlueforsCryostat(Block):
    """The HTTP API of a Bluefors dilution refrigerator's control software."""

    _block_type_name = "Bluefors cryostat"
    _block_type_slug = "bluefors-cryostat"
    _documentation_url = DOCUMENTATION
    _description = "The HTTP API of a Bluefors dilution refrigerator's control software."

    url: HttpUrl = Field(
        default=HttpUrl("http://127.0.0.1:49099"), title="Address", description="Of its HTTP API."
    )
    api_key: SecretStr | None = Field(default=None, title="API key")
    channels: dict[str, str] = Field(
        default={"mxc_kelvin": "mapper.bf.temperatures.tmixing"},
        title="Channels",
        description="What is kept, by names that end with the unit, and its path there.",
    )

    def client(self) -> Bluefors:
        """For `async with`."""
        key = self.api_key.get_secret_value() if self.api_key else None
        return Bluefors(str(self.url), self.channels, key)
