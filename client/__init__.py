"""Running programs from Python, in a script or a notebook.

    from qpuflow import client

    job = client.submit(circuit, qpu="aer", shots=1000)
    print(job.result().counts)

The functions block; `connect` is the same for asynchronous code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from qpuflow.client import cost, quota
from qpuflow.client.blocking import call
from qpuflow.client.blocking_session import BlockingSession, session
from qpuflow.client.booking import End, Start, moment
from qpuflow.client.connection import Connection, Receipt, connect
from qpuflow.client.programs import as_programs, of_circuit
from qpuflow.client.sessions import Session
from qpuflow.domain.admission import requested
from qpuflow.domain.booking import Booking
from qpuflow.domain.errors import InputError, NoResult
from qpuflow.domain.job import Job, JobState
from qpuflow.domain.report import JobReport, ProgramReport
from qpuflow.domain.request import JobOptions, JobRequest, Program
from qpuflow.domain.settings import Settings
from qpuflow.ledger.qpus import RegisteredQpu

if TYPE_CHECKING:
    import xarray as xr

    from qpuflow.client.programs import OneProgram

__all__ = [
    "BlockingSession",
    "Booking",
    "Connection",
    "InputError",
    "JobHandle",
    "JobOptions",
    "JobRequest",
    "JobState",
    "NoResult",
    "Program",
    "Receipt",
    "Session",
    "as_programs",
    "book",
    "bookings",
    "cancel",
    "cancel_booking",
    "change_booking",
    "connect",
    "cost",
    "drain",
    "job",
    "jobs",
    "move_to_front",
    "of_circuit",
    "pause",
    "qpus",
    "quota",
    "release",
    "result",
    "resume",
    "session",
    "status",
    "submit",
    "submit_all",
    "take_offline",
]


@dataclass(frozen=True, slots=True)
class JobHandle:
    """A job in the ledger. Needs no connection: its id finds it from any process, any day."""

    id: UUID

    def status(self) -> JobReport:
        """The job as it is now, with its history."""
        return call(lambda connection: connection.status(self.id))

    def wait(self, timeout_seconds: float | None = None) -> JobReport:
        """The job once it has ended, however it has. Raises `TimeoutError`."""
        return call(lambda connection: connection.wait(self.id, timeout_seconds))

    def results(self, timeout_seconds: float | None = None) -> list[ProgramReport]:
        """The result of each program, in order. Raises `NoResult` or `TimeoutError`."""
        report = self.wait(timeout_seconds)
        if report.state is not JobState.COMPLETED:
            raise NoResult(f"Job {self.id} {report.state.value}: {report.reason}")
        return report.programs

    def result(self, timeout_seconds: float | None = None) -> ProgramReport:
        """The result of the first program. Raises `NoResult` or `TimeoutError`."""
        return self.results(timeout_seconds)[0]

    def datasets(self, timeout_seconds: float | None = None) -> list[xr.Dataset]:
        """Each program's dataset; layout in `qpuflow.domain.result`."""
        self.results(timeout_seconds)
        return call(lambda connection: connection.datasets(self.id))

    def cancel(self) -> JobState:
        return call(lambda connection: connection.cancel(self.id))


def submit(
    programs: OneProgram | Sequence[OneProgram],
    qpu: str,
    shots: int = 1024,
    *,
    key: str | None = None,
    options: JobOptions | None = None,
    project: str | None = None,
    not_before: Start | None = None,
    start_by: Start | None = None,
) -> JobHandle:
    """Submit one program or several as one job. It is durable when this returns.

    It starts no earlier than `not_before`, and fails, uncharged, if it has not by `start_by`: each
    a datetime with its zone, or text as "+2h" or "2026-12-01T22:00".

    Raises `InputError` when something must be mended; nothing is kept then.
    """
    request = requested(
        programs=as_programs(programs),
        qpu=qpu,
        shots=shots,
        key=key,
        options=options or JobOptions(),
        project=project,
        **_times(not_before, start_by),
    )
    return JobHandle(call(lambda connection: connection.submit(request)).job_id)


def submit_all(
    programs: Sequence[OneProgram],
    qpu: str,
    shots: int = 1024,
    *,
    key: str | None = None,
    options: JobOptions | None = None,
    project: str | None = None,
    not_before: Start | None = None,
    start_by: Start | None = None,
) -> list[JobHandle]:
    """Submit each program as a job of its own: all of them or, if one is refused, none.

    With a key the jobs' keys are that one, numbered.
    """
    times = _times(not_before, start_by)
    requests = [
        requested(
            programs=as_programs(program),
            qpu=qpu,
            shots=shots,
            key=key and f"{key}/{number}",
            options=options or JobOptions(),
            project=project,
            **times,
        )
        for number, program in enumerate(programs)
    ]
    receipts = call(lambda connection: connection.submit_all(requests))
    return [JobHandle(receipt.job_id) for receipt in receipts]


def _times(not_before: Start | None, start_by: Start | None) -> dict[str, datetime]:
    given = {"not_before": not_before, "start_by": start_by}
    now, zone = datetime.now(UTC), Settings().zone
    return {name: moment(one, zone, now, now) for name, one in given.items() if one is not None}


def job(text: str) -> JobHandle:
    """A job by its key, its id, or the first characters of its id."""
    return JobHandle(call(lambda connection: connection.find(text)))


def status(job_id: UUID) -> JobReport:
    return JobHandle(job_id).status()


def result(job_id: UUID, timeout_seconds: float | None = None) -> list[ProgramReport]:
    return JobHandle(job_id).results(timeout_seconds)


def cancel(job_id: UUID) -> JobState:
    return JobHandle(job_id).cancel()


def jobs(*, qpu: str | None = None, limit: int = 50) -> list[Job]:
    """Your newest jobs."""
    return call(lambda connection: connection.jobs(qpu=qpu, limit=limit))


def qpus() -> list[RegisteredQpu]:
    return call(lambda connection: connection.qpus())


def book(qpu: str, start: Start, end: End, note: str | None = None) -> Booking:
    """Book `[start, end)` for your project. An end may be a length: a timedelta, or "+2h".

    Raises `InputError` for what the rules forbid, and `Conflict` naming whose time it is.
    """
    return call(lambda connection: connection.bookings.book(qpu, start, end, note))


def bookings(qpu: str | None = None) -> list[Booking]:
    """Everybody's that has not ended, oldest first."""
    return call(lambda connection: connection.bookings.upcoming(qpu))


def change_booking(booking_id: UUID, start: Start, end: End) -> Booking:
    """Move a booking that has not started."""
    return call(lambda connection: connection.bookings.change(booking_id, start, end))


def release(booking_id: UUID) -> Booking:
    """End a booking that has started: from now on the time is everybody's."""
    return call(lambda connection: connection.bookings.release(booking_id))


def cancel_booking(booking_id: UUID) -> Booking:
    """Give up a booking that has not started."""
    return call(lambda connection: connection.bookings.cancel(booking_id))


def pause(qpu: str, reason: str | None = None) -> None:
    """For operators: start nothing more. Jobs are accepted, and wait."""
    call(lambda connection: connection.controls.pause(qpu, reason))


def resume(qpu: str) -> None:
    """For operators: open a QPU that was paused, drained or taken offline."""
    call(lambda connection: connection.controls.resume(qpu))


def drain(qpu: str, reason: str | None = None) -> None:
    """For operators: accept nothing more. What is queued runs."""
    call(lambda connection: connection.controls.drain(qpu, reason))


def take_offline(qpu: str, reason: str) -> None:
    """For operators: accept and start nothing more."""
    call(lambda connection: connection.controls.take_offline(qpu, reason))


def move_to_front(job_id: UUID, note: str) -> None:
    """For operators: before all that is not booked. The note stays in the job's history."""
    call(lambda connection: connection.controls.move_to_front(job_id, note))
