"""Quotas and statements as tables for the terminal, and as the fields of their JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qpuflow.domain.quota import Allowance, QuotaRequest, Scope, measure, shown
from qpuflow.domain.statement import Statement

EVERY_QPU = "all"


def allowance_fields(one: Allowance) -> dict[str, Any]:
    return {
        **asdict(one.scope),
        "granted": one.granted,
        "charged": one.charged,
        "reserved": one.reserved,
        "available": one.available,
    }


def allowances(found: Sequence[Allowance]) -> Table:
    table = _table("project", "qpu", "unit", amounts=("granted", "used", "reserved", "left"))
    for one in found:
        sums = (one.granted, one.charged, one.reserved, one.available)
        table.add_row(one.scope.project, _qpu(one.scope), one.scope.unit, *_shown(*sums))
    return table


def request_fields(one: QuotaRequest) -> dict[str, Any]:
    fields = asdict(one)
    return {"id": fields.pop("id"), **fields.pop("scope"), **fields}


def requests(found: Sequence[QuotaRequest], zone: tzinfo) -> Table:
    table = Table("request", "project", "qpu", "by", "at", "amount", "reason", "state", "answer")
    for one in found:
        table.add_row(
            str(one.id)[:8],
            one.scope.project,
            _qpu(one.scope),
            one.requested_by,
            _moment(one.created_at, zone),
            measure(one.amount, one.scope.unit),
            Text(one.reason),
            one.state.value,
            Text(_answer(one, zone)),
        )
    return table


def _answer(one: QuotaRequest, zone: tzinfo) -> str:
    if one.decided_at is None:
        return "-"
    granted = f"{measure(one.granted, one.scope.unit)}, " if one.granted is not None else ""
    said = f": {one.answer}" if one.answer else ""
    return f"{granted}{one.decided_by}, {_moment(one.decided_at, zone)}{said}"


def statement_fields(made: Statement) -> dict[str, Any]:
    fields = asdict(made)
    lines = [{**line.pop("scope"), **line} for line in fields.pop("allowances")]
    return {**fields, "allowances": lines, "seconds": made.seconds}


def statement(made: Statement, zone: tzinfo) -> RenderableType:
    period = f"{_moment(made.starts_at, zone)} to {_moment(made.ends_at, zone)}"
    return Group(
        Text(f"{made.project}, {period}", style="bold"),
        *([_balances(made), _grants(made, zone)] if made.allowances else [Text("No limit")]),
        _usage(made),
        *([_costs(made)] if made.costs else []),
    )


def _balances(made: Statement) -> Table:
    sums = ("opening", "granted", "charged", "closing", "reserved now", "used before it")
    table = _table("allowance", "unit", amounts=sums)
    for line in made.allowances:
        amounts = (line.opening, line.granted, line.charged, line.closing)
        sums = _shown(*amounts, line.reserved, line.free)
        table.add_row(_qpu(line.scope), line.scope.unit, *sums)
    return table


def _grants(made: Statement, zone: tzinfo) -> Table:
    table = Table("allowance", "at", "by", "amount", "note", title="granted")
    for line in made.allowances:
        for one in line.grants:
            at, note = _moment(one.created_at, zone), Text(one.note or "")
            amount = measure(one.amount, line.scope.unit)
            table.add_row(_qpu(line.scope), at, one.granted_by, amount, note)
    return table


def _usage(made: Statement) -> Table:
    table = _table(
        "user", "qpu", amounts=("jobs", "used", "reserved now"), title="used, in QPU seconds"
    )
    for line in made.usage:
        table.add_row(line.user, line.qpu, str(line.jobs), *_shown(line.seconds, line.reserved))
    table.add_section()
    jobs = sum(line.jobs for line in made.usage)
    kept = sum((line.reserved for line in made.usage), Decimal(0))
    table.add_row("all", "", str(jobs), *_shown(made.seconds, kept))
    return table


def _costs(made: Statement) -> Table:
    amounts = ("jobs", "cost", "estimated", "credits")
    table = _table("user", "qpu", "unit", amounts=amounts, title="cost")
    for line in made.costs:
        sums = _shown(line.cost, line.estimated, line.credits)
        table.add_row(line.user, line.qpu, line.unit, str(line.jobs), *sums)
    return table


def _table(*columns: str, amounts: Sequence[str], title: str | None = None) -> Table:
    table = Table(*columns, title=title)
    for name in amounts:
        table.add_column(name, justify="right")
    return table


def _shown(*amounts: Decimal) -> list[str]:
    return [shown(amount) for amount in amounts]


def _qpu(scope: Scope) -> str:
    return scope.qpu or EVERY_QPU


def _moment(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M %Z}"
