"""pause, resume, drain, offline, move-up, controls: what operators do, and what they did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from qpuflow.deployments.cli.context import Json, State, console, print_json

if TYPE_CHECKING:
    from qpuflow.client.connection import Connection

QpuName = Annotated[str, typer.Argument(metavar="QPU", help="See `qpuflow qpus`.")]
Reason = Annotated[str | None, typer.Argument(help="What those who wait are told.")]


def add_to(app: typer.Typer) -> None:
    for command in (pause, resume, drain, offline, move_up):
        app.command()(command)
    app.command("controls")(history)


def pause(context: typer.Context, qpu: QpuName, reason: Reason = None) -> None:
    """Stop a QPU after the current job. Jobs are accepted, and wait."""
    _set(context, qpu, "paused", lambda c: c.controls.pause(qpu, reason))


def resume(context: typer.Context, qpu: QpuName) -> None:
    """Open a QPU that was paused, drained or taken offline."""
    _set(context, qpu, "open", lambda c: c.controls.resume(qpu))


def drain(context: typer.Context, qpu: QpuName, reason: Reason = None) -> None:
    """Accept nothing more on a QPU. What is queued runs."""
    _set(context, qpu, "draining", lambda c: c.controls.drain(qpu, reason))


def offline(
    context: typer.Context,
    qpu: QpuName,
    reason: Annotated[str, typer.Argument(help="What everybody is told.")],
) -> None:
    """Accept nothing more on a QPU, and stop it after the current job."""
    _set(context, qpu, "offline", lambda c: c.controls.take_offline(qpu, reason))


def move_up(
    context: typer.Context,
    job: Annotated[str, typer.Argument(metavar="JOB", help="Id, its first characters, or key.")],
    note: Annotated[str, typer.Option(help="Why; kept in the job's history.")],
) -> None:
    """Let a job run before all others, bookings aside."""

    async def move(connection: Connection) -> None:
        await connection.controls.move_to_front(await connection.find(job), note)

    context.ensure_object(State).call(move)
    console.print(f"Job {job} is first in its queue")


def history(
    context: typer.Context,
    qpu: QpuName,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    json: Json = False,
) -> None:
    """Who paused, resumed, drained or closed a QPU, when and why."""
    changes = context.ensure_object(State).call(
        lambda connection: connection.controls.history(qpu, limit)
    )
    if json:
        print_json([asdict(one) | {"at": one.at.isoformat()} for one in changes])
        return
    table = Table("at (UTC)", "from", "to", "by", "through", "why")
    for one in changes:
        moment = f"{one.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        why = Text(one.reason or "-")
        table.add_row(moment, one.before.value, one.after.value, one.actor, one.via, why)
    console.print(table)


def _set(
    context: typer.Context, qpu: str, word: str, change: Callable[[Connection], Awaitable[None]]
) -> None:
    context.ensure_object(State).call(change)
    console.print(f"{qpu} is {word}")
