"""Jobs as a fake Quantinuum runs them and tells of them."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from qpuflow.domain.errors import InputError
from qpuflow.drivers.base import RemoteState
from qpuflow.drivers.fake_clouds.jobs import Job
from qpuflow.drivers.fake_clouds.quantinuum.machines import SYNTAX_CHECKER
from qpuflow.drivers.quantinuum.credits import cost
from qpuflow.drivers.quantinuum.emulation import operations_of, run, translated

WORDS = {
    RemoteState.QUEUED: "queued",
    RemoteState.RUNNING: "running",
    RemoteState.COMPLETED: "completed",
    RemoteState.FAILED: "failed",
    RemoteState.CANCELLED: "canceled",
}
UNKNOWN_WORD = "recalibrating"


def work_of(wanted: dict[str, Any]) -> Job:
    return Job(wanted.get("name", "job"), wanted, partial(_executed, wanted))


def _executed(wanted: dict[str, Any]) -> dict[str, Any]:
    """In the machine's thread. A syntax checker looks, and measures nothing but zeros."""
    program = translated(wanted["language"], wanted["program"])
    shots = int(wanted["count"])
    price = cost(operations_of(program.circuit), shots)
    most = wanted.get("max-cost")
    if most is not None and price > float(most):
        raise InputError(f"The cost of {price:.2f} is above max-cost {most}")
    if wanted["machine"] == SYNTAX_CHECKER:
        sizes = [register.size for register in program.circuit.cregs]
        zeros = {name: ["0" * sizes[index]] * shots for index, name in program.outputs.items()}
        return {"results": zeros, "cost": price}
    return {"results": run(program, shots), "cost": price}


def told(job: Job, state: RemoteState | None = None) -> dict[str, Any]:
    """The job as its status request answers."""
    answer = {
        "job": job.id,
        "name": job.handle,
        "machine": job.request["machine"],
        "status": WORDS[state or job.state],
        "submit-date": _text(job.created_at),
        "start-date": _text(job.started_at),
        "result-date": _text(job.ended_at),
        "queue-position": 1 if job.state is RemoteState.QUEUED else None,
        "priority": job.request.get("priority", "normal"),
    }
    if job.error is not None:
        answer["error"] = {"code": 1000, "text": job.error}
    if job.state is RemoteState.COMPLETED and state in (None, RemoteState.COMPLETED):
        answer |= job.result
    return {key: value for key, value in answer.items() if value is not None}


def _text(moment: datetime | None) -> str | None:
    return moment and moment.isoformat()
