"""Which rack: its two files, its scheduler, and what a dummy chip is like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from qpuflow.drivers.qblox.config.values import Value
from qpuflow.drivers.qblox.dummy.chip import DummyChip
from qpuflow.drivers.qblox.executors.base import ExecutorName

NAME = r"^[a-z0-9][a-z0-9-]*$"
"""Of a rack, which is its QPU's."""


class RackSettings(Value):
    """What the process that owns the instruments is started with."""

    name: str = Field(pattern=NAME, description="The QPU's.")
    device_file: Path
    hardware_file: Path
    executor: ExecutorName = "quantify"
    dummy: DummyChip | None = Field(
        default=None, description="With it, the vendor's dummy cluster plays this chip."
    )
    max_shots: Annotated[int, Field(ge=1)] = 1_000_000
    state_directory: Path = Field(
        default=Path("state"), description="Journal, lock and working directory of the daemon."
    )
    listen: tuple[str, ...] = Field(
        default=("ipc://rack.sock",), description="ipc://PATH or tls+tcp://HOST:PORT, or several."
    )
    keep_gigabytes: float = Field(
        default=20.0, gt=0, description="What the journal may take of requests and results."
    )
    keys: Path | None = Field(default=None, description="Folder of the daemon's keys, for TLS.")
