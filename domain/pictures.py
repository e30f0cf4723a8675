"""Circuits and histograms as text, for pages and terminals that render markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from qpuflow.domain.job import Job
from qpuflow.domain.readings import readings_of
from qpuflow.domain.request import Program
from qpuflow.domain.result import counts_of, with_errors

if TYPE_CHECKING:
    import xarray as xr

BAR_WIDTH = 40
MAX_BARS = 16
FOLD = 90
"""Characters in a line of a drawing: what Prefect's page of an artifact has room for."""
MAX_DRAWN_QUBITS = 24
MAX_DRAWN_OPERATIONS = 300


def job_markdown(job: Job, programs: Sequence[Program], datasets: Sequence[xr.Dataset]) -> str:
    """A page for one job: each program's circuit, histogram and expectation values."""
    head = f"# Job {job.id}\n\n{job.qpu}, {job.shots:,} shots, for {job.user}\n"
    pages = [
        "\n\n".join(_program(program, dataset))
        for program, dataset in zip(programs, datasets, strict=True)
    ]
    return "\n\n".join([head, *pages])


def _program(program: Program, dataset: xr.Dataset) -> Iterator[str]:
    yield f"## {program.name}"
    yield f"```\n{circuit_text(program)}\n```"
    point_count = dataset.sizes["point"]
    for point in range(min(point_count, 4)):
        title = f", point {point + 1} of {point_count}" if point_count > 1 else ""
        if counts := counts_of(dataset, point):
            yield f"Counts{title}:\n```\n{histogram(counts)}\n```"
        if "mitigated" in dataset:
            yield f"Without misread bits{title}:\n```\n{_mitigated(dataset, point)}\n```"
        if readings := readings_of(dataset, point):
            lines = "\n".join(f"{one.label}: {one.text}" for one in readings)
            yield f"Bits{title}:\n```\n{lines}\n```"
    if "expectation" in dataset:
        yield _expectations(dataset, "expectation")
    if "mitigated_expectation" in dataset:
        yield "Without misread bits:"
        yield _expectations(dataset, "mitigated_expectation")


def circuit_text(program: Program) -> str:
    """A drawing of the circuit as its user wrote it; its size where a drawing would not help."""
    from qpuflow.domain.parsing import parse

    circuit = parse(program, vetted=True).circuit
    if circuit.num_qubits > MAX_DRAWN_QUBITS or len(circuit.data) > MAX_DRAWN_OPERATIONS:
        operations = ", ".join(f"{count} {name}" for name, count in circuit.count_ops().items())
        return f"{circuit.num_qubits} qubits: {operations}"
    return str(circuit.draw("text", fold=FOLD))


def histogram(counts: dict[str, int]) -> str:
    """One line an outcome, the most frequent first, with 68 % error bars."""
    shown = dict(list(with_errors(counts).items())[:MAX_BARS])
    width = max((len(outcome) for outcome in shown), default=0)
    peak = max((p.value for p in shown.values()), default=1.0)
    lines = [
        f"{outcome:>{width}} │{'█' * round(BAR_WIDTH * p.value / peak):<{BAR_WIDTH}} "
        f"{p.value:.4f} ± {p.error:.4f}"
        for outcome, p in shown.items()
    ]
    if len(counts) > MAX_BARS:
        lines.append(f"and {len(counts) - MAX_BARS:,} more outcomes")
    return "\n".join(lines)


def _mitigated(dataset: xr.Dataset, point: int) -> str:
    here = dataset.isel(point=point)
    order = here["mitigated"].argsort().values[::-1][:MAX_BARS]
    return "\n".join(
        f"{here['outcome'].values[i]} {here['mitigated'].values[i]:+.4f} "
        f"± {here['mitigated_error'].values[i]:.4f}"
        for i in order
    )


def _expectations(dataset: xr.Dataset, variable: str) -> str:
    names = [str(name) for name in dataset["observable"].values]
    rows = ["| point | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    values, errors = dataset[variable].values, dataset[f"{variable}_error"].values
    for point in range(dataset.sizes["point"]):
        cells = [f"{values[point, i]:.4f} ± {errors[point, i]:.4f}" for i in range(len(names))]
        rows.append(f"| {point} | " + " | ".join(cells) + " |")
    return "\n".join(rows)
