"""backup, restore."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qpuflow.deployments.cli.context import console, settings_of

if TYPE_CHECKING:
    from qpuflow.domain.settings import Settings


def add_to(app: typer.Typer) -> None:
    for command in (backup, restore):
        app.command()(command)


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The archive to write; it holds everything.")],
) -> None:
    """Write ledger, Prefect's database and payloads to one file, while the stack runs."""
    from qpuflow.ledger import backup as archive

    settings = settings_of(context)
    manifest = asyncio.run(archive.backup(*_places(settings), file.absolute()))
    size = file.stat().st_size
    console.print(f"wrote {file}: {len(manifest.members)} parts, {size / 1e6:.1f} MB", markup=False)
    for missing in manifest.missing:
        console.print(f"payload {missing} could not be read and is not in it", style="red")


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="An archive that `backup` wrote.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the jobs that are there.")
    ] = False,
) -> None:
    """Put an archive in place of what is there. Jobs that had not ended go on, none runs twice."""
    from qpuflow.ledger import backup as archive

    settings = settings_of(context)
    manifest = asyncio.run(
        archive.restore(file.absolute(), *_places(settings), overwrite=overwrite)
    )
    console.print(f"restored what was saved at {manifest.created_at:%Y-%m-%d %H:%M:%S} UTC")
    console.print("Restart the stack: `qpuflow down`, then `qpuflow up`.")


def _places(settings: Settings) -> tuple[str, str, str]:
    """The URLs of the ledger, of Prefect's database and of the payloads."""
    from sqlalchemy.engine import make_url

    from qpuflow.domain.endpoints import find_endpoints
    from qpuflow.flows.open_ledger import payload_url

    ledger = find_endpoints(settings).ledger_url.get_secret_value()
    if settings.prefect_database_url is not None:
        prefect = settings.prefect_database_url.get_secret_value()
    else:
        prefect = make_url(ledger).set(database="prefect").render_as_string(hide_password=False)
    return ledger, prefect, payload_url(settings)
