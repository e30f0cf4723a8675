"""up, down, doctor, logs, env, demo."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from qpuflow.deployments.cli.context import Json, console, print_json, settings_of
from qpuflow.domain.errors import NotFound

if TYPE_CHECKING:
    from qpuflow.deployments.stack.events import Event


def add_to(app: typer.Typer) -> None:
    for command in (up, down, doctor, logs, env, demo):
        app.command()(command)


def up(
    context: typer.Context,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running.")] = False,
    port: Annotated[int | None, typer.Option(help="Of the Prefect UI; 0: any free one.")] = None,
) -> None:
    """Start the stack: PostgreSQL, Prefect with its UI, and a worker for each QPU."""
    from qpuflow.deployments.cli.announcing import PLAN, show
    from qpuflow.deployments.stack.control import run_stack, start_detached
    from qpuflow.deployments.stack.events import Phase
    from qpuflow.domain.endpoints import find_endpoints

    settings = settings_of(context)
    if port is not None:
        settings = settings.model_copy(update={"port": port})
    if detach:
        endpoints = asyncio.run(start_detached(settings, PLAN, show))
        console.print(f"Prefect UI: {endpoints.ui_url}")
        return

    def announce(event: Event) -> None:
        show(event)
        if event.part == "stack" and event.phase is Phase.READY:
            console.print(f"Prefect UI: {find_endpoints(settings).ui_url}   (Ctrl-C stops)")

    asyncio.run(run_stack(settings, PLAN, announce))


def down(context: typer.Context) -> None:
    """Stop the stack. Jobs that have not ended go on when it is up again."""
    from qpuflow.deployments.stack.control import stop_stack

    settings = settings_of(context)
    stopped = asyncio.run(stop_stack(settings))
    console.print("Stopped" if stopped else f"Nothing was running for {settings.root}")


def doctor(context: typer.Context, json: Json = False) -> None:
    """What is wrong, and how to mend it."""
    from qpuflow.deployments.doctor import examine

    findings = asyncio.run(examine(settings_of(context)))
    if json:
        print_json(findings)
    else:
        for one in findings:
            mark = "[green]ok[/]   " if one.is_good else "[red]wrong[/]"
            console.print(f"{mark} {escape(one.subject)}: {escape(one.finding)}")
            if one.remedy:
                console.print(f"      {escape(one.remedy)}", style="dim")
    raise typer.Exit(0 if all(one.is_good for one in findings) else 1)


def logs(
    context: typer.Context,
    part: Annotated[str | None, typer.Argument(help="For example prefect-server.")] = None,
    lines: Annotated[int, typer.Option(min=1, help="Of each part.")] = 40,
) -> None:
    """What the parts of the stack said last."""
    folder = settings_of(context).root / "logs"
    files = sorted(folder.glob(f"{part or '*'}.log"))
    if not files:
        known = ", ".join(sorted(file.stem for file in folder.glob("*.log")))
        raise NotFound(f"There is no log of {part or 'any part'}", remedy=f"Known: {known or '-'}.")
    for file in files:
        console.rule(file.stem)
        tail = file.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        console.print("\n".join(tail), markup=False, highlight=False)


def env(context: typer.Context) -> None:
    """Shell lines that point Prefect's own tools at the stack: eval "$(qpuflow env)"."""
    from qpuflow.domain.endpoints import find_endpoints

    settings = settings_of(context)
    endpoints = find_endpoints(settings)
    console.print(f"export PREFECT_API_URL={endpoints.prefect_api_url}", markup=False)
    console.print(f"export QPUFLOW_HOME={settings.root}", markup=False)


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Program files.")],
    qpu: Annotated[
        list[str] | None,
        typer.Option(
            help="Where to run them; may be repeated. Default: aer, and qblox-dummy what fits it."
        ),
    ] = None,
    shots: Annotated[int, typer.Option(help="Repetitions of each.")] = 1024,
) -> None:
    """Run every program of a folder and show what came out. Starts a stack if none runs."""
    from qpuflow.deployments.cli.demo import run_demo
    from qpuflow.domain.endpoints import find_record

    settings = settings_of(context)
    keep = find_record(settings) is not None
    raise typer.Exit(asyncio.run(run_demo(settings, folder, qpu or (), shots, keep=keep)))
