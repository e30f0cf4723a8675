"""Accepting a request: everything that can be refused is refused before the job exists."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from qpuflow.domain.device import Device
from qpuflow.domain.estimate import Estimate, guess
from qpuflow.domain.principal import Principal
from qpuflow.domain.request import JobRequest, Program
from qpuflow.ledger import jobs
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.jobs import Accepted, AcceptedProgram, Submission
from qpuflow.tasks.known import Known

if TYPE_CHECKING:
    from qpuflow.domain.parsing import ParsedProgram


@dataclass(frozen=True, slots=True)
class Journey:
    """Where an admitted job goes and, if it was started in Prefect, in which run."""

    qpu: str
    key: str | None = None
    flow_run_id: UUID | None = None


async def admit(
    ledger: Ledger,
    principal: Principal,
    request: JobRequest,
    journey: Journey,
    known: Known | None = None,
) -> Accepted:
    """Check the request against the QPU and write the job.

    `known` is what the caller's earlier submissions found out. Raises `InputError` with all that
    is wrong with a program, and `QuotaExceeded` when the project has too little left; nothing is
    written then.
    """
    known = known or Known(ledger)
    qpu = await known.qpu(journey.qpu)
    parsed, estimate = await asyncio.to_thread(_check, request, qpu.device, known)
    programs = [await _kept(ledger, *one) for one in zip(request.programs, parsed, strict=True)]
    submission = Submission(
        request,
        qpu.name,
        request.key or journey.key or uuid4().hex,
        programs,
        estimate_seconds=estimate.seconds,
    )
    return await jobs.accept(ledger, principal, submission, journey.flow_run_id)


def _check(
    request: JobRequest, device: Device, known: Known
) -> tuple[tuple[ParsedProgram, ...], Estimate]:
    from qpuflow.domain.admission import check_request

    parsed = check_request(request, device, known.parse)
    return parsed, guess(request, parsed, device.pace)


async def _kept(ledger: Ledger, program: Program, parsed: ParsedProgram) -> AcceptedProgram:
    return AcceptedProgram(
        name=program.name,
        format=parsed.format,
        source=await ledger.payloads.keep(program.source.encode(), media_type(program)),
        parameters=program.parameters,
        observables=program.observables,
        num_qubits=parsed.circuit.num_qubits,
        num_clbits=parsed.circuit.num_clbits,
    )


def media_type(program: Program) -> str:
    return "application/vnd.qpuflow.program" + (f"+{program.format}" if program.format else "")
