"""calibrations, telemetry: how a QPU is."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from qpuflow.deployments.cli.context import Json, State, console, print_json
from qpuflow.domain.quantity import Quantity

if TYPE_CHECKING:
    from qpuflow.domain.calibration import Measured
    from qpuflow.ledger.telemetry import Reading

QpuName = Annotated[str, typer.Argument(metavar="QPU", help="See `qpuflow qpus`.")]


def add_to(app: typer.Typer) -> None:
    for command in (calibrations, telemetry):
        app.command()(command)


def calibrations(
    context: typer.Context,
    qpu: QpuName,
    quantity: Annotated[Quantity | None, typer.Option(help="Only this one.")] = None,
    qubit: Annotated[int | None, typer.Option(min=0, help="Only this one.")] = None,
    history: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The last N, not only the newest.")
    ] = None,
    json: Json = False,
) -> None:
    """What was measured of a QPU's qubits, and what has drifted out of its band."""
    found = context.ensure_object(State).call(
        lambda connection: connection.watching.calibrations(qpu, quantity, qubit, history)
    )
    if json:
        print_json([_calibration(one) for one in found])
        return
    table = Table("quantity", "qubit", "value", "in its band", "at (UTC)", "job")
    for one in found:
        said = {None: "-", True: "yes", False: "no"}[one.in_band]
        value = f"{one.value:.4g} ± {one.error:.2g} {one.quantity.unit}".strip()
        band = Text(said, style="red" if one.has_drifted else "")
        job = str(one.job_id)[:8] if one.job_id else "-"
        table.add_row(
            one.quantity.value, str(one.qubit), value, band, _moment(one.measured_at), job
        )
    console.print(table)


def telemetry(
    context: typer.Context,
    qpu: QpuName,
    channel: Annotated[
        str | None, typer.Argument(help="The history of this one; without, the newest of each.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Of a history, how many at most.")] = 50,
    json: Json = False,
) -> None:
    """What the sensors of a QPU's instruments and of its cryostat say."""
    found = context.ensure_object(State).call(
        lambda connection: connection.watching.telemetry(qpu, channel, limit)
    )
    if json:
        print_json([_reading(one) for one in found])
        return
    table = Table("channel", "value", "at (UTC)")
    for one in found:
        value = "-" if one.value is None else f"{one.value:g}"
        table.add_row(one.channel, value, _moment(one.at))
    console.print(table)


def _calibration(one: Measured) -> dict[str, Any]:
    return asdict(one) | {"measured_at": one.measured_at.isoformat(), "unit": one.quantity.unit}


def _reading(one: Reading) -> dict[str, Any]:
    return asdict(one) | {"at": one.at.isoformat()}


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
