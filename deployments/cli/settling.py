"""settle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qpuflow.deployments.cli.context import State, console
from qpuflow.domain.errors import InputError

if TYPE_CHECKING:
    from qpuflow.client.connection import Connection
    from qpuflow.ledger.settling import Settlement


def add_to(app: typer.Typer) -> None:
    app.command()(settle)


def settle(
    context: typer.Context,
    job: Annotated[str, typer.Argument(metavar="JOB", help="Id, its first characters, or key.")],
    note: Annotated[str, typer.Option(help="How you know; kept in the job's history.")],
    accepted: Annotated[
        str | None, typer.Option(metavar="ID", help="The QPU has it, under this id of its own.")
    ] = None,
    not_accepted: Annotated[
        bool, typer.Option("--not-accepted", help="The QPU has not: hand it over again.")
    ] = False,
    give_up: Annotated[bool, typer.Option("--give-up", help="Let it fail.")] = False,
) -> None:
    """Say what became of an ambiguous job, after looking at the vendor's own page."""
    settlement = _settlement(note, accepted, not_accepted, give_up)

    async def say(connection: Connection) -> None:
        await connection.controls.settle(await connection.find(job), settlement)

    context.ensure_object(State).call(say)
    console.print(f"Job {job} is settled as {settlement.answer}")


def _settlement(note: str, accepted: str | None, not_accepted: bool, give_up: bool) -> Settlement:
    from qpuflow.ledger.settling import Answer, Settlement

    if [accepted is not None, not_accepted, give_up].count(True) != 1:
        raise InputError(
            "It was accepted, or not, or is given up: one of the three",
            remedy="Use --accepted ID, --not-accepted or --give-up.",
        )
    if accepted is not None:
        return Settlement(Answer.ACCEPTED, note, accepted)
    return Settlement(Answer.NOT_ACCEPTED if not_accepted else Answer.GIVEN_UP, note)
