"""``rack.toml``: the settings of one rack."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from qpuflow.domain.errors import InputError
from qpuflow.drivers.qblox.settings import RackSettings

SHIPPED = Path(__file__).parent / "shipped" / "rack.toml"
"""The dummy rack."""


def load_rack(path: Path) -> RackSettings:
    """Paths in it are relative to it."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
        settings = RackSettings.model_validate(content)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"The rack's settings cannot be read: {error}", where=str(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{place}: {first['msg']}", where=str(path)) from error
    files = ("device_file", "hardware_file", "state_directory", "keys")
    places = {field: path.parent / place for field in files if (place := getattr(settings, field))}
    listen = tuple(_absolute(address, path.parent) for address in settings.listen)
    return settings.model_copy(update={**places, "listen": listen})


def _absolute(address: str, folder: Path) -> str:
    scheme, _, place = address.partition("://")
    return f"ipc://{(folder / place).absolute()}" if scheme == "ipc" else address
