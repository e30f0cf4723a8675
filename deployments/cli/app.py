"""The root of the command line: options that every command has, and how errors end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

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
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001  what nobody expected is told, too
        from qpuflow.deployments.cli.endings import tell

        sys.exit(tell(error))
