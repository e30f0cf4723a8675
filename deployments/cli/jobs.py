"""submit, status, result, cancel, jobs."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from qpuflow.deployments.cli.context import (
    Json,
    State,
    console,
    notes,
    print_json,
    settings_of,
)
from qpuflow.domain.errors import Unavailable
from qpuflow.domain.moments import read_moment

if TYPE_CHECKING:
    import xarray as xr

    from qpuflow.client.connection import Connection, Receipt
    from qpuflow.domain.report import JobReport

Files = tuple[list["xr.Dataset"], dict[int, list[bytes]]]
JobText = Annotated[str, typer.Argument(metavar="JOB", help="Id, its first characters, or key.")]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Seconds to wait at most.")]
Level = Annotated[int, typer.Option(min=0, max=3, help="Optimization level of the compiler.")]


def add_to(app: typer.Typer) -> None:
    for command in (submit, status, result, cancel, jobs):
        app.command()(command)


def submit(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Programs of one job.")],
    qpu: Annotated[str, typer.Option(help="Where to run; see `qpuflow qpus`.")],
    shots: Annotated[int, typer.Option(help="Repetitions of each program.")] = 1024,
    key: Annotated[str | None, typer.Option(help="Idempotency key.")] = None,
    level: Level = 1,
    compiler: Annotated[
        str | None,
        typer.Option(help="qiskit, pytket, vendor, or best: the better of the first two."),
    ] = None,
    compile_budget: Annotated[
        float, typer.Option(metavar="SECONDS", help="Of best: how long both may take.")
    ] = 30.0,
    seed: Annotated[int | None, typer.Option(help="Fixes compilation and simulation.")] = None,
    memory: Annotated[bool, typer.Option("--memory", help="Keep every shot.")] = False,
    measurement_level: Annotated[
        int,
        typer.Option(min=0, max=2, help="2: bits. 1: IQ points, too. 0: raw traces."),
    ] = 2,
    average: Annotated[
        bool, typer.Option("--average", help="The mean of all shots in place of each.")
    ] = False,
    reset: Annotated[
        str, typer.Option(help="passive: wait before a shot. active: look, and turn back.")
    ] = "passive",
    mitigate_readout: Annotated[
        bool, typer.Option("--mitigate-readout", help="Also undo misread bits, as calibrated.")
    ] = False,
    max_cost: Annotated[
        str | None, typer.Option(help="Fail rather than cost more: 20 HQC, 1.50 USD, 2m30s.")
    ] = None,
    not_before: Annotated[
        str | None, typer.Option(metavar="TIME", help="Earliest start: +2h, or an ISO time.")
    ] = None,
    start_by: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Latest start; if it passes, the job fails, uncharged."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the results.")] = False,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Submit programs (.qasm, .qpy) as one job. It is kept from the moment this answers."""
    from qpuflow.domain.admission import requested
    from qpuflow.domain.files import load_program

    request = requested(
        programs=[load_program(file) for file in files],
        qpu=qpu,
        shots=shots,
        key=key,
        options={
            "optimization_level": level,
            "compiler": compiler,
            "compile_budget_seconds": compile_budget,
            "seed": seed,
            "memory": memory,
            "measurement_level": measurement_level,
            "average": average,
            "reset": reset,
            "mitigate_readout": mitigate_readout,
            "max_cost": max_cost,
        },
        not_before=_moment(context, not_before),
        start_by=_moment(context, start_by),
    )
    state = context.ensure_object(State)
    if not wait:
        _show_receipt(state.call(lambda connection: connection.submit(request)), as_json=json)
        return

    async def submit_and_wait(connection: Connection) -> JobReport:
        receipt = await connection.submit(request)
        _show_note(receipt)
        return await _watched(connection, receipt.job_id, timeout)

    _finish(state.call(submit_and_wait), as_json=json)


def _moment(context: typer.Context, text: str | None) -> datetime | None:
    now = datetime.now(UTC)
    return None if text is None else read_moment(text, settings_of(context).zone, now, now)


def status(context: typer.Context, job: JobText, json: Json = False) -> None:
    """How a job is doing, and everything that happened to it."""
    from qpuflow.deployments.cli import tables

    async def read(connection: Connection) -> JobReport:
        return await connection.status(await connection.find(job))

    report = context.ensure_object(State).call(read)
    print_json(report) if json else console.print(tables.status(report))


def result(
    context: typer.Context,
    job: JobText,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job has ended.")] = False,
    timeout: Timeout = None,
    netcdf: Annotated[Path | None, typer.Option(help="Also write the datasets here.")] = None,
    executed: Annotated[Path | None, typer.Option(help="Write the circuits that ran.")] = None,
    json: Json = False,
) -> None:
    """The results of a job. Exit code 0 only when every program has one."""

    async def read(connection: Connection) -> tuple[JobReport, Files]:
        job_id = await connection.find(job)
        if wait:
            await _watched(connection, job_id, timeout)
        datasets = await connection.datasets(job_id) if netcdf else []
        circuits = await connection.executed(job_id) if executed else {}
        return await connection.report(job_id), (datasets, circuits)

    report, (datasets, circuits) = context.ensure_object(State).call(read)
    if netcdf:
        _write_netcdf(datasets, netcdf)
    if executed:
        _write_executed(circuits, executed)
    _finish(report, as_json=json)


def cancel(context: typer.Context, job: JobText, json: Json = False) -> None:
    """Cancel a job: at once if it is queued; a running one is stopped on its QPU."""
    from qpuflow.domain.job import JobState

    async def ask(connection: Connection) -> JobReport:
        job_id = await connection.find(job)
        await connection.cancel(job_id)
        return await connection.report(job_id)

    report = context.ensure_object(State).call(ask)
    if json:
        print_json(report)
    elif report.state is JobState.CANCELLED or not report.state.is_final:
        word = "cancelled" if report.state.is_final else "asked to stop"
        console.print(f"Job {report.job_id} {word}")
    else:
        console.print(f"Job {report.job_id} had {report.state.value} already")


def jobs(
    context: typer.Context,
    qpu: Annotated[str | None, typer.Option(help="Only this QPU's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    json: Json = False,
) -> None:
    """Your newest jobs."""
    from qpuflow.deployments.cli import tables

    found = context.ensure_object(State).call(lambda c: c.jobs(qpu=qpu, limit=limit))
    print_json(found) if json else console.print(tables.jobs(found))


async def _watched(
    connection: Connection, job_id: UUID, timeout_seconds: float | None
) -> JobReport:
    from rich.status import Status

    try:
        with Status("queued", console=notes) as shown:
            async for states in connection.watch([job_id], timeout_seconds):
                shown.update(f"job {str(job_id)[:8]} is {states[job_id].value}")
    except TimeoutError as error:
        raise Unavailable(
            f"Job {job_id} has not ended after {timeout_seconds:g} s",
            remedy=f"It goes on: `qpuflow result {job_id} --wait`.",
        ) from error
    return await connection.report(job_id)


def _show_receipt(receipt: Receipt, *, as_json: bool) -> None:
    _show_note(receipt)
    if as_json:
        print_json({"job_id": str(receipt.job_id), "is_new": receipt.is_new})
    else:
        console.print(f"{receipt.job_id}", highlight=False)


def _show_note(receipt: Receipt) -> None:
    if receipt.note:
        notes.print(f"note: {receipt.note}", style="yellow", markup=False)


def _finish(report: JobReport, *, as_json: bool) -> None:
    from qpuflow.deployments.cli import tables
    from qpuflow.domain.job import JobState

    print_json(report) if as_json else console.print(tables.result(report))
    if report.state is not JobState.COMPLETED:
        sys.exit(1)


def _write_netcdf(datasets: list[xr.Dataset], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for dataset in datasets:
        file = folder / f"{dataset.attrs['program']}.nc"
        dataset.to_netcdf(file, engine="h5netcdf")
        notes.print(f"wrote {file}", markup=False)


def _write_executed(circuits: dict[int, list[bytes]], folder: Path) -> None:
    if not circuits:
        notes.print("note: no circuit of this job is known to have run; none was written")
    folder.mkdir(parents=True, exist_ok=True)
    for position, parts in circuits.items():
        for part, content in enumerate(parts):
            file = folder / f"{position}-{part}.qpy"
            file.write_bytes(content)
            notes.print(f"wrote {file}", markup=False)
