"""Accepting a request: everything that can be refused is refused before the job exists."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID, uuid4

from qpuflow.domain.principal import Principal
from qpuflow.domain.request import JobRequest, Program
from qpuflow.ledger import jobs
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.jobs import Accepted, AcceptedProgram, Submission
from qpuflow.ledger.qpus import RegisteredQpu
from qpuflow.tasks.known import Known


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
    is wrong with a program; nothing is written then.
    """
    known = known or Known(ledger)
    qpu = await known.qpu(journey.qpu)
    programs = await _checked(ledger, request, qpu, known)
    submission = Submission(
        request,
        qpu.name,
        request.key or journey.key or uuid4().hex,
        programs,
        estimate_seconds=0.0,
    )
    return await jobs.accept(ledger, principal, submission, journey.flow_run_id)


async def _checked(
    ledger: Ledger, request: JobRequest, qpu: RegisteredQpu, known: Known
) -> list[AcceptedProgram]:
    from qpuflow.domain.admission import check_request

    parsed = await asyncio.to_thread(check_request, request, qpu.device, known.parse)
    return [
        AcceptedProgram(
            name=program.name,
            format=one.format,
            source=await ledger.payloads.keep(program.source.encode(), media_type(program)),
            parameters=program.parameters,
            observables=program.observables,
            num_qubits=one.circuit.num_qubits,
            num_clbits=one.circuit.num_clbits,
        )
        for program, one in zip(request.programs, parsed, strict=True)
    ]


def media_type(program: Program) -> str:
    return "application/vnd.qpuflow.program" + (f"+{program.format}" if program.format else "")
