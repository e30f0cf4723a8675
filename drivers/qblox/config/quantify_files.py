"""Device files of quantify-scheduler, as QPI keeps them in ``quantify.device.yml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qpuflow.domain.errors import InputError
from qpuflow.drivers.qblox.config.chip import DeviceFile
from qpuflow.drivers.qblox.config.rack import validated
from qpuflow.drivers.qblox.config.yaml_lines import Document

_DRIVE = {"amp180": "amplitude_180", "duration": "duration_seconds", "motzoi": "motzoi"}
_FREQUENCIES = {"f01": "f01_hz", "f12": "f12_hz", "readout": "readout_hz"}
_READOUT = {
    "pulse_amp": "amplitude",
    "pulse_duration": "pulse_seconds",
    "integration_time": "integration_seconds",
    "acq_delay": "delay_seconds",
    "acq_rotation": "rotation_degrees",
    "acq_threshold": "threshold",
}
_CZ = {"square_amp": "amplitude", "square_duration": "duration_seconds"}


def import_device_file(document: Document) -> DeviceFile:
    """Elements with ``clock_freqs`` become qubits, those with ``cz`` couplings.

    What a qubit needs and the file lacks is an `InputError`; what qpuflow does not use (classes,
    ports, pulse compensation) is left behind.
    """
    content = document.content
    if not isinstance(content, Mapping):
        raise InputError("No mapping of elements", where=document.where(()))
    elements: dict[str, Any] = {str(k): v for k, v in content.items() if isinstance(v, Mapping)}
    imported = {
        "description": f"Imported from {document.name}",
        "qubits": {n: _qubit(e) for n, e in elements.items() if "clock_freqs" in e},
        "couplings": [_coupling(n, e, document) for n, e in elements.items() if "cz" in e],
    }
    return validated(DeviceFile, _Translated(document, imported))


class _Translated(Document):
    """New content whose errors point into the old file, as near as the names allow."""

    def __init__(self, source: Document, content: Any) -> None:
        self.name = source.name
        self.content = content
        self._source = source

    def where(self, place: Any) -> str:
        return self._source.where(place[1:2])


def _qubit(element: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "frequencies": _renamed(element["clock_freqs"], _FREQUENCIES),
        "drive": _renamed(element.get("rxy", {}), _DRIVE),
        "readout": {
            "rotation_degrees": 0.0,
            "threshold": 0.0,
            **_renamed(element.get("measure", {}), _READOUT),
        },
        **_renamed(element.get("reset", {}), {"duration": "reset_seconds"}),
    }


def _coupling(name: str, element: Mapping[str, Any], document: Document) -> dict[str, Any]:
    parent, separator, child = name.partition("_")
    if not separator:
        raise InputError(
            f"The edge {name!r} does not say which qubits it couples, as q0_q1 does",
            where=document.where((name,)),
        )
    cz = element["cz"]
    phases = [
        float(cz.get(f"{own}_phase_correction", cz.get(f"{role}_phase_correction", 0.0)))
        for own, role in ((parent, "parent"), (child, "child"))
    ]
    return {"qubits": [parent, child], "cz": {**_renamed(cz, _CZ), "phases_degrees": phases}}


def _renamed(old: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names[key]: value for key, value in old.items() if key in names and _is_number(value)}


def _is_number(value: Any) -> bool:
    """Quantify writes NaN for what was never set."""
    try:
        return float(value) == float(value)
    except (TypeError, ValueError):
        return False
