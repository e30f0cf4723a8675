"""Every program of a folder through the whole system, and a table of what came out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from qpuflow.client.connection import Connection, connect
from qpuflow.deployments.cli import tables
from qpuflow.deployments.cli.announcing import PLAN, show
from qpuflow.deployments.cli.context import console, notes
from qpuflow.deployments.stack.control import running_stack
from qpuflow.deployments.stack.plan import SHIPPED_RACK
from qpuflow.domain.admission import check_request, requested
from qpuflow.domain.device import Device
from qpuflow.domain.endpoints import find_endpoints
from qpuflow.domain.errors import InputError, NotFound
from qpuflow.domain.files import SUFFIXES, load_program
from qpuflow.domain.job import JobState
from qpuflow.domain.parsing import parse
from qpuflow.domain.report import JobReport
from qpuflow.domain.request import JobOptions, Program
from qpuflow.domain.settings import Settings

SIMULATOR = "aer"
"""Where all programs run if nobody says where; those that fit the shipped rack run there, too."""


async def run_demo(
    settings: Settings, folder: Path, qpus: Sequence[str], shots: int, *, keep: bool
) -> int:
    """The exit code: 0 when every program has a result. `keep`: the stack runs already."""
    programs = _programs(folder)
    async with AsyncExitStack() as stack:
        if not keep:
            await stack.enter_async_context(running_stack(settings, PLAN, show))
        async with connect(settings) as connection:
            pairs = await _where(connection, programs, qpus)
            reports = await _run(connection, pairs, shots)
        ui = find_endpoints(settings).ui_url
        console.print(tables.demo(reports))
        console.print(f"The runs in the Prefect UI: {ui}/runs", highlight=False)
        if not keep:
            notes.print("It stops now; `make up` leaves it running for the browser.", style="dim")
    return _verdict(reports)


def _programs(folder: Path) -> list[Program]:
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}", remedy="Check the path.")
    files = sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES)
    if not files:
        raise NotFound(f"There are no programs in {folder}", remedy=f"Known: {SUFFIXES}.")
    return [load_program(file) for file in files]


async def _where(
    connection: Connection, programs: list[Program], asked: Sequence[str]
) -> list[tuple[str, Program]]:
    if asked:
        return [(qpu, program) for qpu in asked for program in programs]
    pairs = [(SIMULATOR, program) for program in programs]
    racks = [qpu.device for qpu in await connection.qpus() if qpu.name == SHIPPED_RACK]
    return pairs + [(SHIPPED_RACK, one) for rack in racks for one in programs if _fits(one, rack)]


def _fits(program: Program, device: Device) -> bool:
    try:
        check_request(requested(programs=[program]), device)
    except InputError:
        return False
    return True


async def _run(
    connection: Connection, pairs: list[tuple[str, Program]], shots: int
) -> list[JobReport]:
    devices = {qpu.name: qpu.device for qpu in await connection.qpus()}
    ids: list[UUID] = []
    for qpu, program in pairs:
        options = _options(program, devices.get(qpu))
        request = requested(programs=[program], qpu=qpu, shots=shots, options=options)
        ids.append((await connection.submit(request)).job_id)
    await _watch(connection, ids)
    return [await connection.report(job_id) for job_id in ids]


def _options(program: Program, device: Device | None) -> JobOptions:
    """A qubit that is reset by waiting lets the others decay meanwhile."""
    has_active_reset = device is not None and device.active_reset
    resets = has_active_reset and "reset" in parse(program).circuit.count_ops()
    return JobOptions(reset="active" if resets else "passive")


async def _watch(connection: Connection, ids: list[UUID]) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=notes) as progress:
        bar = progress.add_task("jobs", total=len(ids))
        async for states in connection.watch(ids):
            count = Counter(state.value for state in states.values())
            ended = sum(state.is_final for state in states.values())
            words = ", ".join(f"{n} {state}" for state, n in count.most_common())
            progress.update(bar, completed=ended, description=words)


def _verdict(reports: list[JobReport]) -> int:
    without = [report for report in reports if report.state is not JobState.COMPLETED]
    for report in without:
        console.print(f"Job {report.job_id} {report.state.value}: {report.reason}", style="red")
    return 1 if without else 0
