"""The dummy rack that comes with qpuflow: its folder in the home, and its daemon's address."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from qpuflow.deployments.stack import sockets
from qpuflow.deployments.stack.plan import SHIPPED_RACK, Plan
from qpuflow.domain.errors import QpuflowError, Unavailable
from qpuflow.domain.settings import Settings

SOCKET = "rack.sock"


def runs_here(plan: Plan, settings: Settings) -> bool:
    """Whether the stack has it: its worker is asked for, and what it takes is installed."""
    return plan.pools is None and SHIPPED_RACK in plan.workers(settings)


def folder(settings: Settings) -> Path:
    return settings.root / "racks" / SHIPPED_RACK


def address(settings: Settings) -> str:
    return f"ipc://{sockets.folder_for(folder(settings)) / SOCKET}"


def prepare(settings: Settings) -> Path:
    """Its ``rack.toml``. Files that are there already stay as somebody made them."""
    from qpuflow.drivers.qblox.rack_file import SHIPPED

    place = folder(settings)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in SHIPPED.parent.iterdir():
        if not (place / file.name).exists():
            draft = place / f".{file.name}"
            shutil.copyfile(file, draft)
            draft.replace(place / file.name)
    sockets.make_private(sockets.folder_for(place), SOCKET)
    return place / SHIPPED.name


async def check(settings: Settings, _: datetime) -> None:
    """Raise `Unavailable` unless its daemon answers."""
    from qpuflow.drivers.qblox.driver import QbloxDriver

    driver = QbloxDriver(SHIPPED_RACK, {"address": address(settings)}, timeout_seconds=2.0)
    try:
        await driver.describe()
    except QpuflowError as error:
        raise Unavailable(error.what) from error
    finally:
        await driver.close()


def remove_sockets(settings: Settings) -> None:
    shutil.rmtree(sockets.folder_for(folder(settings)), ignore_errors=True)
