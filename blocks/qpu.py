"""What every QPU's block has: its name is the QPU's, and it builds the QPU's driver."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl

from qpuflow.domain.errors import OperatorNeeded
from qpuflow.drivers.base import Driver

DOCUMENTATION = HttpUrl("https://github.com/qpuflow/qpuflow/blob/main/docs/qpus.md")


class BlockMissing(OperatorNeeded):
    """No block is saved under the reference."""


class QpuBlock(Block):
    """A QPU. Save it under the name by which users shall know the QPU."""

    _block_type_name = "QPU"
    _block_schema_capabilities = ["build-qpu-driver"]  # noqa: RUF012  as Prefect declares it

    lanes: int = Field(
        default=1,
        ge=1,
        title="Lanes",
        description="How many jobs may run at once: 1 for hardware, more for simulators.",
    )
    projects: list[str] = Field(
        default_factory=list[str],
        title="Projects",
        description="Only they may use this QPU, and the account behind it. Empty: everybody.",
    )

    @property
    def expires_at(self) -> datetime | None:
        """When its credentials end, if it has some that do."""
        return getattr(getattr(self, "credentials", None), "expires_at", None)

    def driver(self, name: str) -> Driver:
        """The driver for this QPU; cheap, connects at first use."""
        raise OperatorNeeded(f"The block of QPU {name!r} is of the bare type {type(self).__name__}")


async def load_qpu(reference: str) -> QpuBlock:
    """The block behind a reference such as ``aer-qpu/aer``."""
    try:
        block: Any = await Block.aload(reference)
    except ValueError as error:
        raise BlockMissing(
            f"There is no block {reference!r}",
            remedy="`prefect block ls` shows those there are; more are made in the Prefect UI, "
            "under Blocks. `qpuflow up` makes those of the shipped QPUs.",
        ) from error
    if not isinstance(block, QpuBlock):
        raise OperatorNeeded(f"Block {reference!r} is not a QPU")
    return block
