"""Accepting a request: everything that can be refused is refused before the job exists."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from qpuflow.domain.device import Device
from qpuflow.domain.estimate import Estimate, guess
from qpuflow.domain.importing import collected_once
from qpuflow.domain.principal import Principal
from qpuflow.domain.request import JobRequest, Program
from qpuflow.ledger import calibrations, submissions
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.new_jobs import AcceptedProgram, Submission
from qpuflow.ledger.submissions import Accepted
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
    (submission,) = await _checked(ledger, [(request, journey)], known or Known(ledger))
    return await submissions.accept(ledger, principal, submission, journey.flow_run_id)


async def admit_all(
    ledger: Ledger,
    principal: Principal,
    requests: Sequence[tuple[JobRequest, Journey]],
    known: Known,
) -> list[Accepted]:
    """As `admit`, for many jobs in one transaction: all of them are written, or none."""
    wanted = await _checked(ledger, requests, known)
    return await submissions.accept_all(ledger, principal, wanted)


async def _checked(
    ledger: Ledger, requests: Sequence[tuple[JobRequest, Journey]], known: Known
) -> list[Submission]:
    qpus = {name: await known.qpu(name) for name in {journey.qpu for _, journey in requests}}
    devices = {name: qpu.device for name, qpu in qpus.items()}
    checked = await _beside(requests, devices, known)
    await _check_calibrations(ledger, requests, devices)
    return [
        Submission(
            request,
            qpus[journey.qpu].name,
            request.key or journey.key or uuid4().hex,
            [await _kept(ledger, *one) for one in zip(request.programs, parsed, strict=True)],
            estimate_seconds=estimate.seconds,
        )
        for (request, journey), (parsed, estimate) in zip(requests, checked, strict=True)
    ]


async def _check_calibrations(
    ledger: Ledger, requests: Sequence[tuple[JobRequest, Journey]], devices: Mapping[str, Device]
) -> None:
    from qpuflow.domain.admission import check_calibrated

    for name in {one.qpu for request, one in requests if request.options.mitigate_readout}:
        async with ledger.look() as session:
            calibrated = await calibrations.confusions(session, devices[name].name)
        check_calibrated(devices[name], calibrated)


async def _beside(
    requests: Sequence[tuple[JobRequest, Journey]], devices: Mapping[str, Device], known: Known
) -> list[tuple[tuple[ParsedProgram, ...], Estimate]]:
    """In a thread: parsing may take long. What is parsed already takes less than a thread does."""
    programs = [program for request, _ in requests for program in request.programs]
    if len(programs) == 1 and known.is_latest(programs[0]):
        return _check(requests, devices, known)
    return await asyncio.to_thread(_check, requests, devices, known)


def _check(
    requests: Sequence[tuple[JobRequest, Journey]], devices: Mapping[str, Device], known: Known
) -> list[tuple[tuple[ParsedProgram, ...], Estimate]]:
    from qpuflow.domain.admission import check_request

    checked: list[tuple[tuple[ParsedProgram, ...], Estimate]] = []
    with collected_once():
        for request, journey in requests:
            device = devices[journey.qpu]
            parsed = check_request(request, device, known.parse)
            checked.append((parsed, guess(request, parsed, device.pace)))
    return checked


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
