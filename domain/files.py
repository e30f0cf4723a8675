"""A program file and its companion: ``vqe.qasm`` and, if there is one, ``vqe.json`` beside it.

The companion is a JSON object with either or both of the keys of `Companion`::

    {
      "parameters": [{"theta": 0.0}, {"theta": 0.1}],
      "observables": {"energy": {"ZZ": 1.0, "XI": 0.5}}
    }
"""

from __future__ import annotations

import base64
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qpuflow.domain.admission import readable
from qpuflow.domain.errors import InputError, NotFound
from qpuflow.domain.request import MAX_SOURCE_BYTES, Program, ProgramFormat

SUFFIXES = (".qasm", ".qasm2", ".qasm3", ".qpy", ".pytket", ".braket")
"""The last two are JSON; `.json` is a companion's."""


class Companion(BaseModel):
    """What a circuit file cannot say: values to run it with, and what to estimate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: list[dict[str, float]] = Field(
        default_factory=list[dict[str, float]], description="One result point for each entry."
    )
    observables: dict[str, dict[str, float]] = Field(
        default_factory=dict[str, dict[str, float]], description="Pauli sums by name."
    )


def load_program(path: Path | str) -> Program:
    """The program in a ``.qasm`` or ``.qpy`` file, called after the file, with its companion."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{path.name!r} is no program file",
            where=str(path),
            remedy=f"Known endings: {', '.join(SUFFIXES)}.",
        )
    qpy = path.suffix == ".qpy"
    data = _read(path, MAX_SOURCE_BYTES * 3 // 4 if qpy else MAX_SOURCE_BYTES)
    source = base64.b64encode(data).decode() if qpy else _text(path, data)
    companion = _companion(path.with_suffix(".json"))
    try:
        return Program(
            name=path.stem,
            source=source,
            format=ProgramFormat.QPY if qpy else None,
            parameters=companion.parameters,
            observables=companion.observables,
        )
    except ValidationError as error:
        raise _in_file(path, error) from error


def _companion(path: Path) -> Companion:
    if not path.exists():
        return Companion()
    try:
        return Companion.model_validate_json(_read(path, MAX_SOURCE_BYTES))
    except ValidationError as error:
        raise _in_file(path, error) from error


def _in_file(path: Path, error: ValidationError) -> InputError:
    return InputError(readable(error).what, where=str(path), remedy="Correct the file.")


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise NotFound(
            "There is no such file", where=str(path), remedy="Check the path."
        ) from error
    except OSError as error:
        what = f"The file cannot be read: {error.strerror or error}"
        raise InputError(
            what, where=str(path), remedy="Check that it is a readable file."
        ) from error
    if len(data) > limit:
        raise InputError(
            f"The file has more than the {limit:,} bytes accepted",
            where=str(path),
            remedy="Use OpenQASM 3 loops and gate definitions, or several programs.",
        )
    return data


def _text(path: Path, data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"The file is no UTF-8 text: byte {error.start} is {data[error.start]:#04x}",
            where=str(path),
            remedy="Save it as UTF-8; QPY files end in .qpy.",
        ) from error
    if "\0" in text:
        raise InputError(
            "The file is binary, not program text",
            where=str(path),
            remedy="QPY files end in .qpy; OpenQASM is text.",
        )
    return text
