"""``rack.toml``: the settings of one rack, and the files that it names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from pydantic import ValidationError

from qpuflow.domain.errors import InputError
from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.config.rack import check_configuration, first_problem
from qpuflow.drivers.qblox.config.yaml_lines import Document, read
from qpuflow.drivers.qblox.dummy.chip import DummyChip
from qpuflow.drivers.qblox.settings import NAME, RackSettings

REMEDY = "docs/racks.md describes it; `qpuflow rack new` writes one to start from."
SHIPPED = Path(__file__).parent / "shipped" / "rack.toml"
"""The dummy rack."""


def load_rack(path: Path) -> RackSettings:
    """Paths in it are relative to it."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
        settings = RackSettings.model_validate(content)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"The rack's settings cannot be read: {error}", where=str(path), remedy=REMEDY
        ) from error
    except ValidationError as error:
        _, message = first_problem(error)
        raise InputError(message, where=str(path), remedy=REMEDY) from error
    files = ("device_file", "hardware_file", "state_directory", "keys")
    places = {field: path.parent / place for field in files if (place := getattr(settings, field))}
    listen = tuple(_absolute(address, path.parent) for address in settings.listen)
    return settings.model_copy(update={**places, "listen": listen})


def write_example(folder: Path) -> Path:
    """The dummy rack's files, for a rack that is named like the folder. Returns its rack.toml.

    `InputError` where one of them is there already.
    """
    name = folder.absolute().name
    if not re.fullmatch(NAME, name):
        raise InputError(
            f"{name!r} cannot be the name of a QPU",
            remedy="Small letters, digits and hyphens only, as chip-7 has.",
        )
    examples = {file.name: file.read_text("utf-8") for file in SHIPPED.parent.iterdir()}
    if there := [str(folder / one) for one in examples if (folder / one).exists()]:
        raise InputError("A rack's file is there already, and stays", where=there[0])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file, text in examples.items():
        (folder / file).write_text(text.replace("qblox-dummy", name), "utf-8")
    return folder / SHIPPED.name


def configuration_of(settings: RackSettings) -> Configuration:
    """Its two files, checked with each other and with what `rack.toml` says of the instruments.

    `InputError` names the first line that is wrong, and why.
    """
    device, hardware = read(settings.device_file), read(settings.hardware_file)
    both = check_configuration(device, hardware)
    if settings.dummy is None:
        _require_address(both, hardware)
    else:
        _require_clouds(both, device, settings.dummy)
    return both


def _require_address(both: Configuration, hardware: Document) -> None:
    name = both.hardware.cluster_name
    if both.hardware.cluster.ip is None:
        raise InputError(
            f"No address is given for {name}",
            where=hardware.where(("hardware_description", name)),
            remedy=f"Add hardware_description.{name}.ip; `qblox-pnp list` finds the cluster. Or "
            "make the rack a dummy, by [dummy.clouds] in rack.toml.",
        )


def _require_clouds(both: Configuration, device: Document, dummy: DummyChip) -> None:
    for name in both.device.names:
        if name not in dummy.clouds:
            raise InputError(
                f"[dummy.clouds] of rack.toml does not say where the states of {name} lie",
                where=device.where(("qubits", name)),
                remedy="Add a line for it there, or remove the qubit here.",
            )


def _absolute(address: str, folder: Path) -> str:
    scheme, _, place = address.partition("://")
    return f"ipc://{(folder / place).absolute()}" if scheme == "ipc" else address
