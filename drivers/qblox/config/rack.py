"""Both files, read and checked together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from qpuflow.domain.digest import digest
from qpuflow.domain.errors import InputError
from qpuflow.drivers.qblox.config.chip import DeviceFile
from qpuflow.drivers.qblox.config.physics import findings
from qpuflow.drivers.qblox.config.wiring import HardwareFile
from qpuflow.drivers.qblox.config.yaml_lines import Document, read

M = TypeVar("M", bound=BaseModel)
REMEDY = "docs/racks.md describes both files."


@dataclass(frozen=True, slots=True)
class Configuration:
    device: DeviceFile
    hardware: HardwareFile

    @property
    def device_hash(self) -> str:
        return digest(self.device.model_dump(mode="json"))

    @property
    def hardware_hash(self) -> str:
        return digest(self.hardware.model_dump(mode="json"))


def load_configuration(device_file: Path, hardware_file: Path) -> Configuration:
    """Both files; `InputError` names the first line that is wrong, and why."""
    return check_configuration(read(device_file), read(hardware_file))


def check_configuration(device: Document, hardware: Document) -> Configuration:
    """The same of what has been read already."""
    both = Configuration(validated(DeviceFile, device), validated(HardwareFile, hardware))
    for finding in findings(both.device, both.hardware):
        document = device if finding.in_device else hardware
        raise _wrong(finding.message, document.where(finding.place))
    return both


def validated(model: type[M], document: Document) -> M:
    try:
        return model.model_validate(document.content)
    except ValidationError as error:
        place, message = first_problem(error)
        raise _wrong(message, document.where(place)) from error


def first_problem(error: ValidationError) -> tuple[tuple[str | int, ...], str]:
    """Where it is, and what; a misspelt field first: what is missing is missing because of it."""
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    place = first["loc"]
    field = ".".join(str(part) for part in place)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "there is no such field"
    return place, f"{field}: {message}" if field else message


def _wrong(message: str, where: str) -> InputError:
    return InputError(message, where=where, remedy=REMEDY)
