"""Values as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qpuflow.domain.compilers import compared_text
from qpuflow.domain.job import Job, JobState
from qpuflow.domain.report import Expectation, JobReport, PointReport, ProgramReport
from qpuflow.domain.result import Probability, with_errors

STEPS = ("transpile", "book_slot", "dispatch", "wait", "post_process", "store")
COLORS = {
    JobState.COMPLETED: "green",
    JobState.FAILED: "red",
    JobState.CANCELLED: "yellow",
    JobState.AMBIGUOUS: "magenta",
    JobState.UNAPPROVED: "magenta",
}
MOST = 4
"""Outcomes shown of each program."""


def state_text(state: JobState) -> Text:
    return Text(state.value, style=COLORS.get(state, "cyan"))


def jobs(found: Sequence[Job]) -> Table:
    table = Table("job", "state", "qpu", "user", "programs", "shots", "submitted (UTC)", "reason")
    for job in found:
        table.add_row(
            str(job.id)[:8],
            state_text(job.state),
            job.qpu,
            job.user,
            str(job.program_count),
            f"{job.shots:,}",
            f"{job.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            Text(job.reason or ""),
        )
    return table


def status(report: JobReport) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    rows: list[tuple[str, RenderableType]] = [
        ("job", str(report.job_id)),
        ("state", state_text(report.state)),
        ("reason", Text(report.reason or "-")),
        *_waiting(report),
        ("qpu", report.qpu),
        ("user", report.user),
        ("shots", f"{report.shots:,}"),
        ("attempt", str(report.attempt)),
        *_cost(report),
        ("submitted", _moment(report.created_at)),
        ("ended", _moment(report.finished_at)),
    ]
    for name, value in rows:
        table.add_row(Text(name, style="dim"), value)
    return Group(table, _history(report)) if report.events else table


def _history(report: JobReport) -> Table:
    table = Table("at (UTC)", "state", "by", "through", "why")
    for event in report.events:
        table.add_row(
            f"{event.at.astimezone(UTC):%H:%M:%S.%f}"[:-3],
            state_text(event.to_state),
            event.actor,
            event.via,
            Text(event.detail or ""),
        )
    return table


def _waiting(report: JobReport) -> list[tuple[str, RenderableType]]:
    if report.waits_because is None:
        return []
    start = report.expected_start_at
    return [
        ("waits because", Text(report.waits_because)),
        ("expected start", _moment(start) if start else Text("unknown")),
    ]


def _cost(report: JobReport) -> list[tuple[str, RenderableType]]:
    cost = report.cost
    if cost is None:
        return []
    parts = {"estimated": cost.estimated, "charged": cost.charged}
    told = [f"{amount:,.2f} {cost.unit} {word}" for word, amount in parts.items() if amount]
    if cost.credits:
        told.append(f"{cost.credits:,.2f} credits")
    return [("cost", Text(", ".join(told) or f"0 {cost.unit}"))]


def result(report: JobReport) -> RenderableType:
    if not report.programs:
        return status(report)
    points = [point for program in report.programs for point in program.points]
    mitigated = ["mitigated"] if any(point.mitigated for point in points) else []
    table = Table("program", "outcome", "probability", "counts", *mitigated)
    for program in report.programs:
        _add_program(table, program)
    return Group(status(report), table, *_compilers(report))


def _compilers(report: JobReport) -> list[RenderableType]:
    """A line for each program whose compilers were compared."""
    return [
        Text(compared_text(program.name, program.metadata), style="dim")
        for program in report.programs
        if "compared" in program.metadata
    ]


def _add_program(table: Table, program: ProgramReport) -> None:
    for point in program.points[:MOST]:
        title = program.name if len(program.points) == 1 else f"{program.name} {_values(point)}"
        for outcome, likely in list(with_errors(point.counts).items())[:MOST]:
            corrected = [_with_error(point.mitigated[outcome])] if point.mitigated else []
            counted = f"{point.counts[outcome]:,}"
            table.add_row(title, outcome or "-", _with_error(likely), counted, *corrected)
            title = ""
        for reading in point.readings:
            table.add_row(title, reading.label, reading.text)
            title = ""
        for name, expected in point.expectations.items():
            undone = [_with_error(one) for one in _of(point.mitigated_expectations, name)]
            table.add_row("", f"⟨{name}⟩", _with_error(expected), "", *undone)
    table.add_section()


def _of(found: Mapping[str, Expectation], name: str) -> list[Expectation]:
    return [found[name]] if name in found else []


def _with_error(estimate: Probability | Expectation) -> str:
    return f"{estimate.value:.4f} ± {estimate.error:.4f}"


def _values(point: PointReport) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in point.parameters.items())


def demo(reports: Iterable[JobReport]) -> Table:
    """One line a program: what it is, what came out, and how long each step took."""
    steps = " · ".join(step.replace("_", " ") for step in STEPS)
    columns = ("program", "qpu", "qubits", "shots", "most frequent outcomes")
    table = Table(*columns, f"seconds in {steps}")
    for report in reports:
        seconds = [report.timings.get(f"{step}_seconds", 0.0) for step in STEPS]
        for program in report.programs:
            table.add_row(
                program.name,
                report.qpu,
                str(program.metadata["qubits"]),
                f"{report.shots:,}",
                _outcomes(program),
                " · ".join(f"{one:.3f}" for one in seconds),
            )
    return table


def _outcomes(program: ProgramReport, most: int = 2) -> str:
    likely = list(with_errors(program.counts).items())[:most]
    lines = [f"{_short(outcome)}  {p.value:.3f} ± {p.error:.3f}" for outcome, p in likely]
    if len(program.points) > 1:
        lines.append(f"and {len(program.points) - 1} more points")
    for name, expected in program.points[0].expectations.items():
        lines.append(f"⟨{name}⟩ = {expected.value:.3f} ± {expected.error:.3f}")
    return "\n".join(lines)


def _short(outcome: str, width: int = 24) -> str:
    return outcome if len(outcome) <= width else f"{outcome[: width - 8]}…{outcome[-7:]}"


def _moment(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else "-"
