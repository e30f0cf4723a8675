"""quota show, request, requests, approve, reject, grant, revoke, first, statement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from qpuflow.deployments.cli import quota_tables as tables
from qpuflow.deployments.cli.context import Json, State, console, print_json, settings_of
from qpuflow.domain.quota import QPU_SECONDS, RequestState, measure

if TYPE_CHECKING:
    from qpuflow.client.connection import Connection
    from qpuflow.domain.quota import Allowance, QuotaRequest

Amount = Annotated[str, typer.Argument(help="Seconds, or as 90s, 2h30m; with --unit a number.")]
Project = Annotated[str, typer.Argument(metavar="PROJECT")]
OwnProject = Annotated[str | None, typer.Argument(metavar="[PROJECT]", help="Default: yours.")]
Qpu = Annotated[str | None, typer.Option(help="On this QPU only. Default: all together.")]
Unit = Annotated[str, typer.Option(help="As USD, HQC or credits, in place of QPU time.")]
Note = Annotated[str | None, typer.Option(help="Stays in the account book.")]
RequestText = Annotated[str, typer.Argument(metavar="REQUEST", help="Id or its beginning.")]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(
        help="QPU time and budgets of projects: what is left, requests for more, statements.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for command in (show, request, requests, approve, reject, grant, revoke, first, statement):
        group.command()(command)
    app.add_typer(group, name="quota")


def show(
    context: typer.Context,
    project: OwnProject = None,
    everybody: Annotated[bool, typer.Option("--all", help="Operators: of all projects.")] = False,
    json: Json = False,
) -> None:
    """What a project may use, has used, and has left."""
    state = context.ensure_object(State)
    found: list[Allowance] = state.call(
        lambda c: c.quotas.show_all() if everybody else c.quotas.show(project)
    )
    if json:
        print_json([tables.allowance_fields(one) for one in found])
    elif found:
        console.print(tables.allowances(found))
    else:
        console.print("No limit", markup=False)


def request(
    context: typer.Context,
    amount: Amount,
    reason: Annotated[str, typer.Option(help="What it is for; operators read it.")],
    qpu: Qpu = None,
    unit: Unit = QPU_SECONDS,
    json: Json = False,
) -> None:
    """Ask the operators for more for your project."""
    asked = context.ensure_object(State).call(lambda c: c.quotas.request(amount, reason, qpu, unit))
    _show_request(context, asked, as_json=json)


def requests(
    context: typer.Context,
    state: Annotated[RequestState | None, typer.Option(help="Only those.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    json: Json = False,
) -> None:
    """Your projects' requests and their answers; everybody's for operators."""
    found: list[QuotaRequest] = context.ensure_object(State).call(
        lambda c: c.quotas.requests(state, limit=limit)
    )
    if json:
        print_json([tables.request_fields(one) for one in found])
    else:
        console.print(tables.requests(found, settings_of(context).zone))


def approve(
    context: typer.Context,
    request: RequestText,
    amount: Annotated[str | None, typer.Option(help="Grant this much instead.")] = None,
    answer: Annotated[str | None, typer.Option(help="The applicant reads it.")] = None,
    json: Json = False,
) -> None:
    """Grant what was asked for. For operators."""
    answered = _answered(context, request, lambda c, id_: c.quotas.approve(id_, amount, answer))
    _show_request(context, answered, as_json=json)


def reject(
    context: typer.Context,
    request: RequestText,
    answer: Annotated[str, typer.Option(help="Why; the applicant reads it.")],
    json: Json = False,
) -> None:
    """Grant nothing. For operators."""
    answered = _answered(context, request, lambda c, id_: c.quotas.reject(id_, answer))
    _show_request(context, answered, as_json=json)


def grant(
    context: typer.Context,
    project: Project,
    amount: Amount,
    qpu: Qpu = None,
    note: Note = None,
    unit: Unit = QPU_SECONDS,
    json: Json = False,
) -> None:
    """Give a project QPU time, or money; its first grant is what limits it. For operators."""
    after = context.ensure_object(State).call(
        lambda c: c.quotas.grant(project, amount, qpu, note, unit)
    )
    _show_allowance(after, as_json=json)


def revoke(
    context: typer.Context,
    project: Project,
    amount: Amount,
    qpu: Qpu = None,
    note: Note = None,
    unit: Unit = QPU_SECONDS,
    json: Json = False,
) -> None:
    """Take it back. For operators."""
    after = context.ensure_object(State).call(
        lambda c: c.quotas.revoke(project, amount, qpu, note, unit)
    )
    _show_allowance(after, as_json=json)


def first(
    context: typer.Context,
    amount: Annotated[
        str | None, typer.Argument(help="Operators: change it; 'unlimited' for no limit.")
    ] = None,
    unit: Unit = QPU_SECONDS,
    json: Json = False,
) -> None:
    """What every new project is given."""
    state = context.ensure_object(State)
    if amount is not None:
        given = None if amount == "unlimited" else amount
        state.call(lambda c: c.quotas.set_first(given, unit))
    found = state.call(lambda c: c.quotas.first(unit))
    if json:
        print_json({"first": found})
    else:
        console.print("No limit" if found is None else measure(found, unit), markup=False)


def statement(
    context: typer.Context,
    project: OwnProject = None,
    start: Annotated[
        str | None, typer.Option("--from", help="An ISO time. Default: the first of the month.")
    ] = None,
    end: Annotated[str | None, typer.Option("--until", help="Default: now.")] = None,
    json: Json = False,
) -> None:
    """What a project was granted and has used, by user and QPU."""
    made = context.ensure_object(State).call(lambda c: c.quotas.statement(project, start, end))
    if json:
        print_json(tables.statement_fields(made))
    else:
        console.print(tables.statement(made, settings_of(context).zone))


def _answered(
    context: typer.Context,
    text: str,
    answer: Callable[[Connection, UUID], Awaitable[QuotaRequest]],
) -> QuotaRequest:
    async def found(connection: Connection) -> QuotaRequest:
        return await answer(connection, await connection.quotas.find(text))

    return context.ensure_object(State).call(found)


def _show_request(context: typer.Context, one: QuotaRequest, *, as_json: bool) -> None:
    if as_json:
        print_json(tables.request_fields(one))
    else:
        console.print(tables.requests([one], settings_of(context).zone))


def _show_allowance(one: Allowance, *, as_json: bool) -> None:
    if as_json:
        print_json(tables.allowance_fields(one))
    else:
        console.print(tables.allowances([one]))
