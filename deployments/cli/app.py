"""The root of the command line: options that every command has, and how errors end."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from qpuflow.deployments.cli import (
    bookings,
    controls,
    cost,
    data,
    fake_clouds,
    jobs,
    projects,
    qpus,
    quota,
    racks,
    settling,
    stack,
    watching,
)
from qpuflow.deployments.cli.context import State
from qpuflow.domain.errors import QpuflowError

app = typer.Typer(
    name="qpuflow",
    help="Runs quantum jobs on real QPUs through Prefect.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for group in (stack, jobs, qpus, bookings, controls, projects, quota, data, fake_clouds):
    group.add_to(app)
for group in (cost, settling, racks, watching):
    group.add_to(app)


@app.callback()
def root(
    context: typer.Context,
    home: Annotated[Path | None, typer.Option(help="Where state lives.")] = None,
    user: Annotated[str | None, typer.Option(help="Who submits.")] = None,
    project: Annotated[str | None, typer.Option(help="Who pays.")] = None,
    operator: Annotated[
        bool | None, typer.Option("--operator", help="See and cancel everybody's jobs.")
    ] = None,
) -> None:
    """Options win over QPUFLOW_* variables, those over qpuflow.toml, that over the defaults."""
    given = {"home": home, "user": user, "project": project, "operator": operator}
    context.obj = State({name: value for name, value in given.items() if value is not None})


def main() -> None:
    """One clear message instead of a traceback, and an exit code that says whose turn it is."""
    try:
        app()
    except QpuflowError as error:
        _say(error.what, error.where, error.remedy)
        sys.exit(error.exit_code)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        _say(f"Setting {field}: {problem['msg']}", None, f"Mend QPUFLOW_{field.upper()}.")
        sys.exit(2)
    except TOMLDecodeError as error:
        _say(f"qpuflow.toml is no TOML: {error}", None, "Mend the file, or remove it.")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001  nothing above expected it: a fault of ours
        words = (str(error) or "no message").splitlines()[0]
        _say(
            f"Unexpected {type(error).__name__}: {words}",
            None,
            f"The traceback is in {_keep_traceback()}; `qpuflow doctor` may say more.",
        )
        sys.exit(70)


def _keep_traceback() -> Path:
    descriptor, name = tempfile.mkstemp(prefix="qpuflow-", suffix=".log")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        traceback.print_exc(file=file)
    return Path(name)


def _say(what: str, where: str | None, remedy: str | None) -> None:
    console = Console(stderr=True, soft_wrap=True)
    console.print("error:", style="bold red", end=" ")
    console.print(what, markup=False, highlight=False)
    if where:
        console.print(f"  in {where}", markup=False, highlight=False)
    if remedy:
        console.print(f"  {remedy}", markup=False, highlight=False, style="dim")
