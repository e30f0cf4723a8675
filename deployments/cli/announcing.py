"""What the stack is to the command line, and how it tells what happens to its parts."""

from __future__ import annotations

from rich.markup import escape

from qpuflow.deployments.cli.context import notes
from qpuflow.deployments.stack.events import Event, Phase
from qpuflow.deployments.stack.plan import WORKER_TYPE, Plan

COLORS = {
    Phase.READY: "green",
    Phase.CRASHED: "red",
    Phase.FAILED: "bold red",
    Phase.STARTING: "dim",
}
PLAN = Plan(worker_type=WORKER_TYPE)


def show(event: Event) -> None:
    """One line for each thing that happens to a part."""
    style = COLORS.get(event.phase, "")
    notes.print(f"[{style}]{escape(str(event))}[/]" if style else escape(str(event)))
