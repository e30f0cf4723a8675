"""What it takes to reach a rack. A Prefect block shows it as a form."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from qpuflow.drivers.qblox.config.values import Value


class LinkSettings(Value):
    """Where a rack's daemon listens."""

    address: str = Field(title="Address", description="ipc://PATH or tls+tcp://HOST:PORT")
    keys: Path | None = Field(
        default=None, title="Keys", description="Folder of this side's keys; not for ipc."
    )
