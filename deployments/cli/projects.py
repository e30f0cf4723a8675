"""members."""

from __future__ import annotations

from typing import Annotated

import typer

from qpuflow.deployments.cli.context import Json, State, console, print_json


def add_to(app: typer.Typer) -> None:
    app.command()(members)


def members(
    context: typer.Context,
    project: Annotated[str, typer.Argument()],
    add: Annotated[list[str] | None, typer.Option(help="Operators: a user to add.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="Operators: a user to remove.")] = None,
    json: Json = False,
) -> None:
    """Who belongs to a project, and may submit and book for it."""
    found = context.ensure_object(State).call(
        lambda connection: connection.members(project, add=add or (), remove=remove or ())
    )
    print_json(found) if json else console.print("\n".join(found) or "nobody", markup=False)
