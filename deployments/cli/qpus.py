"""qpus, register."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from qpuflow.deployments.cli.context import Json, State, console, print_json

if TYPE_CHECKING:
    from qpuflow.client.connection import Connection
    from qpuflow.ledger.qpus import RegisteredQpu


def add_to(app: typer.Typer) -> None:
    for command in (qpus, register):
        app.command()(command)


def qpus(context: typer.Context, json: Json = False) -> None:
    """The QPUs of this installation, their state and their queues."""

    async def read(connection: Connection) -> tuple[list[RegisteredQpu], dict[str, int]]:
        return await connection.qpus(), await connection.queue_lengths()

    found, queues = context.ensure_object(State).call(read)
    if json:
        print_json([_row(qpu, queues.get(qpu.name, 0)) for qpu in found])
    else:
        console.print(_table(found, queues))


def register(
    context: typer.Context,
    block: Annotated[str, typer.Argument(help="A saved QPU block, as type/name.")],
) -> None:
    """Make a QPU of a block that you saved in the Prefect UI or from Python."""
    from qpuflow.deployments.bring_up import add_qpu

    state = context.ensure_object(State)
    name = state.call(lambda _: add_qpu(state.settings, block))
    console.print(f"{name} is registered. Start its worker where its hardware is:")
    console.print(f"  prefect worker start --type qpu --pool {name}", markup=False)


def _row(qpu: RegisteredQpu, queued: int) -> dict[str, Any]:
    known = asdict(qpu) | {"device": qpu.device.model_dump(mode="json", exclude={"gates"})}
    return known | {"queued": queued, "synced_at": qpu.synced_at.isoformat()}


def _status(qpu: RegisteredQpu) -> tuple[str, str | None]:
    """What its operators say comes before what it says of itself."""
    from qpuflow.domain.device import Control

    if qpu.control is not Control.OPEN:
        return qpu.control.value, qpu.control_reason
    return qpu.status.value, qpu.status_reason


def _table(found: list[RegisteredQpu], queues: dict[str, int]) -> Table:
    from qpuflow.domain.device import DeviceStatus

    table = Table("qpu", "status", "qubits", "max shots", "lanes", "open jobs", "description")
    for qpu in found:
        word, why = _status(qpu)
        status = Text(word, style="green" if word == DeviceStatus.ONLINE.value else "red")
        reason = f" ({why})" if why else ""
        whose = f" (for {', '.join(qpu.projects)})" if qpu.projects else ""
        table.add_row(
            qpu.name,
            status,
            str(qpu.device.limits.max_qubits),
            f"{qpu.device.limits.max_shots:,}",
            str(qpu.lanes),
            str(queues.get(qpu.name, 0)),
            Text(qpu.device.description + whose + reason),
        )
    return table
