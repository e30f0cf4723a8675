"""cost approvals, approve, reject, limits, limit, rates, rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from qpuflow.deployments.cli.context import Json, State, console, print_json
from qpuflow.domain.cost import ApprovalState
from qpuflow.domain.quota import measure, shown

if TYPE_CHECKING:
    from decimal import Decimal

    from qpuflow.client.connection import Connection
    from qpuflow.domain.cost import Approval, CostLimit, Rate

JobText = Annotated[str, typer.Argument(metavar="JOB", help="Id, its first characters, or key.")]
Unit = Annotated[str, typer.Argument(metavar="UNIT", help="USD, HQC, credits, qpu-seconds.")]
Project = Annotated[str | None, typer.Option("--for", help="This project. Default: every one.")]
Qpu = Annotated[str | None, typer.Option(help="On this QPU. Default: on all.")]
ALL = "all"


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(
        help="What one job may cost: limits, approvals, and rates of credits.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for command in (approvals, approve, reject, limits, limit, rates, rate):
        group.command()(command)
    app.add_typer(group, name="cost")


def approvals(
    context: typer.Context,
    state: Annotated[ApprovalState | None, typer.Option(help="Only those.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    json: Json = False,
) -> None:
    """Jobs about whose cost operators are asked, or were."""
    _show(
        context.ensure_object(State).call(lambda c: c.costs.approvals(state, limit=limit)),
        as_json=json,
    )


def approve(
    context: typer.Context,
    job: JobText,
    amount: Annotated[str | None, typer.Option(help="Let it cost up to this.")] = None,
    answer: Annotated[str | None, typer.Option(help="The applicant reads it.")] = None,
    json: Json = False,
) -> None:
    """Let a job cost what it asks for. For operators."""

    async def say(connection: Connection) -> Approval:
        return await connection.costs.approve(await connection.find(job), amount, answer)

    _show([context.ensure_object(State).call(say)], as_json=json)


def reject(
    context: typer.Context,
    job: JobText,
    answer: Annotated[str, typer.Option(help="Why; the applicant reads it.")],
    json: Json = False,
) -> None:
    """Let a job fail for what it would cost. For operators."""

    async def say(connection: Connection) -> Approval:
        return await connection.costs.reject(await connection.find(job), answer)

    _show([context.ensure_object(State).call(say)], as_json=json)


def limits(context: typer.Context, json: Json = False) -> None:
    """What one job may cost."""
    found: list[CostLimit] = context.ensure_object(State).call(lambda c: c.costs.limits())
    if json:
        print_json([asdict(one) for one in found])
        return
    table = Table("project", "qpu", "unit", "ask above", "refuse above")
    for one in found:
        amounts = (_amount(one.ask_above), _amount(one.refuse_above))
        table.add_row(one.project or ALL, one.qpu or ALL, one.unit, *amounts)
    console.print(table)


def limit(
    context: typer.Context,
    unit: Unit,
    ask_above: Annotated[str | None, typer.Option(help="An operator is asked above this.")] = None,
    refuse_above: Annotated[str | None, typer.Option(help="A job fails above this.")] = None,
    project: Project = None,
    qpu: Qpu = None,
) -> None:
    """Limit what one job may cost; without an amount, no longer. For operators."""
    amounts = {"ask_above": ask_above, "refuse_above": refuse_above}
    context.ensure_object(State).call(
        lambda c: c.costs.set_limit(unit, project=project, qpu=qpu, **amounts)
    )
    limits(context)


def rates(context: typer.Context, json: Json = False) -> None:
    """What one of each unit is in credits."""
    found: list[Rate] = context.ensure_object(State).call(lambda c: c.costs.rates())
    if json:
        print_json([asdict(one) for one in found])
        return
    table = Table("unit", "qpu", "credits")
    for one in found:
        table.add_row(one.unit, one.qpu or ALL, shown(one.credits))
    console.print(table)


def rate(
    context: typer.Context,
    unit: Unit,
    worth: Annotated[str, typer.Argument(metavar="CREDITS", help="That one of the unit is.")],
    qpu: Qpu = None,
) -> None:
    """Say how many credits one of a unit is, from now on. For operators."""
    context.ensure_object(State).call(lambda c: c.costs.set_rate(unit, worth, qpu))
    rates(context)


def _show(found: Sequence[Approval], *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table = Table("job", "project", "user", "qpu", "would cost", "why", "state", "answer")
    for one in found:
        table.add_row(
            str(one.job_id)[:8],
            one.project,
            one.user,
            one.qpu,
            measure(one.amount, one.unit),
            Text(one.why),
            one.state.value,
            Text(f"{one.decided_by}: {one.answer or ''}" if one.decided_by else "-"),
        )
    console.print(table)


def _amount(amount: Decimal | None) -> str:
    return "-" if amount is None else shown(amount)
