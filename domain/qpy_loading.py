"""QPY from users: what is accepted, and how it is tried out first (docs/decisions/0004)."""

from __future__ import annotations

import base64
import binascii
import io
import os
import struct
import subprocess
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

from qpuflow.domain.errors import Unavailable
from qpuflow.domain.source import ProgramError, Source

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

MIN_VERSION = 13
"""Qiskit 1.3's. Older formats carry sympy or symengine expressions (CVE-2025-2000)."""
TRIAL_SECONDS = 20
TRIAL_BYTES = 1_000_000_000
"""Memory a file may need on top of the trial process itself."""

_HEADER = struct.Struct("!6sBBBBQ")
_SAVE_AGAIN = "Save it again with qiskit.qpy.dump(circuit, file) of Qiskit 1.3 or newer"


def load_qpy(source: Source, *, vetted: bool = False) -> QuantumCircuit:
    """The one circuit of a base64 QPY file. `vetted`: this very file passed a trial before."""
    from qiskit import qpy

    from qpuflow.domain.openqasm import reported

    data = _decode(source)
    _check_header(source.name, data)
    if not vetted and (problem := _trial(data)):
        raise ProgramError(
            f"The QPY file cannot be loaded: {problem}",
            where=source.name,
            remedy=f"{_SAVE_AGAIN}, or send OpenQASM.",
        )
    with reported(source):
        return qpy.load(io.BytesIO(data))[0]


def _decode(source: Source) -> bytes:
    try:
        return base64.b64decode("".join(source.text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProgramError(
            "The QPY file is not in base64",
            where=source.name,
            remedy="Encode the whole file: base64.b64encode(data).decode().",
        ) from error


def _check_header(name: str, data: bytes) -> None:
    """Refuse by the header alone, before Qiskit sees a byte."""
    from qiskit.qpy import QPY_VERSION

    def refuse(what: str, remedy: str = f"{_SAVE_AGAIN}.") -> ProgramError:
        return ProgramError(what, where=name, remedy=remedy)

    if len(data) < _HEADER.size or not data.startswith(b"QISKIT"):
        raise refuse("This is no QPY file")
    _, version, *_, programs = _HEADER.unpack_from(data)
    if version < MIN_VERSION:
        raise refuse(
            f"QPY format {version} is refused: before {MIN_VERSION} it is not safe to load"
        )
    if version > QPY_VERSION:
        raise refuse(
            f"QPY format {version} is newer than the {QPY_VERSION} known here",
            f"Save it with qiskit.qpy.dump(circuit, file, version={QPY_VERSION}).",
        )
    if programs != 1:
        raise refuse(
            f"The QPY file holds {programs} circuits; a program is one circuit",
            "Save each circuit to a file of its own.",
        )


@lru_cache(maxsize=256)
def _trial(data: bytes) -> str | None:
    """Load the file in a process of its own; what was wrong, if anything.

    A few bytes can make Qiskit's reader allocate until the process is aborted, which nothing in
    the same process can catch.
    """
    command = [sys.executable, "-P", "-m", "qpuflow.domain.qpy_trial", str(TRIAL_BYTES)]
    threads = {"OPENBLAS_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "RUST_BACKTRACE": "0"}
    try:
        done = subprocess.run(  # noqa: S603 (our own module)
            command,
            input=data,
            capture_output=True,
            timeout=TRIAL_SECONDS,
            env={**os.environ, **threads},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it takes longer than {TRIAL_SECONDS} s"
    except OSError as error:
        raise Unavailable("A QPY file cannot be tried out now", remedy="Try again.") from error
    if done.returncode != 0:
        return f"it needs more than {TRIAL_BYTES // 1_000_000:,} MB, or crashes Qiskit"
    return done.stdout.decode(errors="replace")[:300] or None
