"""How a command that failed ends: one clear message, and a code that says whose turn it is."""

from __future__ import annotations

import os
import tempfile
import traceback
from pathlib import Path
from tomllib import TOMLDecodeError

from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console

from qpuflow.domain.errors import QpuflowError

TOO_BAD = 70
"""EX_SOFTWARE of sysexits.h: a fault of ours."""


def tell(error: Exception) -> int:
    """Returns the exit code."""
    match error:
        case QpuflowError():
            _say(error.what, error.where, error.remedy)
            return error.exit_code
        case ValidationError():
            problem = error.errors()[0]
            parts = [part for part in problem["loc"] if isinstance(part, str)]
            is_none = problem["type"] == "extra_forbidden"
            why = "there is no such setting" if is_none else problem["msg"]
            mend = f"Mend QPUFLOW_{'__'.join(parts).upper()}."
            _say(f"Setting {'.'.join(parts)}: {why}", None, mend)
            return 2
        case SettingsError():
            field = str(error).split('"')[1]
            name = f"QPUFLOW_{field.upper()}"
            _say(f"Setting {field}: {name} is no JSON", None, f"Set its parts: {name}__<PART>.")
            return 2
        case TOMLDecodeError():
            _say(f"qpuflow.toml is no TOML: {error}", None, "Mend the file, or remove it.")
            return 2
        case _:
            words = (str(error) or "no message").splitlines()[0]
            kept = f"The traceback is in {_keep_traceback(error)}; `qpuflow doctor` may say more."
            _say(f"Unexpected {type(error).__name__}: {words}", None, kept)
            return TOO_BAD


def _keep_traceback(error: Exception) -> Path:
    descriptor, name = tempfile.mkstemp(prefix="qpuflow-", suffix=".log")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        traceback.print_exception(error, file=file)
    return Path(name)


def _say(what: str, where: str | None, remedy: str | None) -> None:
    console = Console(stderr=True, soft_wrap=True)
    console.print("error:", style="bold red", end=" ")
    console.print(what, markup=False, highlight=False)
    if where:
        console.print(f"  in {where}", markup=False, highlight=False)
    if remedy:
        console.print(f"  {remedy}", markup=False, highlight=False, style="dim")
