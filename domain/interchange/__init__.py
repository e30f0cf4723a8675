"""Programs of other SDKs, as JSON, made into OpenQASM 3 before anything else sees them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from qpuflow.domain.interchange.braket_ir import HEADER, from_braket
from qpuflow.domain.interchange.pytket_json import from_pytket

KNOWN = "Amazon Braket's IR (OpenQASM or JAQCD) and pytket circuits are known."


def to_openqasm3(source: str) -> str:
    """Raises `ValueError` for what is neither, or has what OpenQASM 3 cannot say."""
    try:
        told: Any = json.loads(source)
    except ValueError as error:
        raise ValueError(f"the program begins as JSON, and is none: {error}") from error
    program = cast("Mapping[str, Any]", told)
    try:
        if HEADER in program:
            return from_braket(program)
        if {"commands", "qubits", "bits"} <= program.keys():
            return from_pytket(program)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"the program is not whole: {error!r} is missing or amiss") from error
    raise ValueError(f"the program is JSON that nobody here reads. {KNOWN}")
