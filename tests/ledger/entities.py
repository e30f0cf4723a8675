"""QPUs, jobs and their ends, as briefly as a test can say them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from qpuflow.domain.device import Device, Limits
from qpuflow.domain.executable import Executable, Register
from qpuflow.domain.job import Job, JobState
from qpuflow.domain.principal import Principal, service
from qpuflow.domain.request import JobRequest, Program, ProgramFormat
from qpuflow.domain.result import dataset_of
from qpuflow.ledger import (
    batches,
    carriers,
    events,
    intents,
    jobs,
    programs,
    qpus,
    results,
    submissions,
)
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.dataset_codec import MEDIA_TYPE, encode
from qpuflow.ledger.new_jobs import AcceptedProgram, Submission
from qpuflow.ledger.results import Finished
from qpuflow.ledger.submissions import Accepted

QPU = "rack"
SOURCE = 'OPENQASM 3.0; include "stdgates.inc"; qubit q; bit c; h q; c = measure q;'
ALICE = Principal("alice", "alice")
BOB = Principal("bob", "bob")
CARRIER = service("carrier")


async def register(
    ledger: Ledger, name: str = QPU, lanes: int = 1, projects: Sequence[str] = (), **known: Any
) -> None:
    device = Device(
        name=name, num_qubits=2, gates=(), limits=Limits(max_qubits=2, max_shots=10), **known
    )
    async with ledger.begin() as session:
        await qpus.register(
            *(session, service("test"), device),
            block=f"test/{name}",
            pool=name,
            lanes=lanes,
            projects=projects,
        )


async def submission(
    ledger: Ledger,
    key: str | None = None,
    source: str = SOURCE,
    qpu: str = QPU,
    estimate_seconds: float = 0.0,
    **times: Any,
) -> Submission:
    program = Program(name="coin", source=source)
    request = JobRequest(programs=[program], shots=10, **times)
    accepted = AcceptedProgram(
        "coin",
        ProgramFormat.OPENQASM3,
        await ledger.payloads.keep(source.encode(), "text/plain"),
        [],
        {},
        1,
        1,
    )
    return Submission(request, qpu, key or uuid4().hex, [accepted], estimate_seconds)


async def submit(
    ledger: Ledger,
    principal: Principal = ALICE,
    *,
    key: str | None = None,
    source: str = SOURCE,
    run: UUID | None = None,
    qpu: str = QPU,
    estimate_seconds: float = 0.0,
    **times: Any,
) -> Accepted:
    wish = await submission(ledger, key, source, qpu, estimate_seconds, **times)
    return await submissions.accept(ledger, principal, wish, run)


async def begin(ledger: Ledger, batch_id: UUID, run: UUID | None = None) -> UUID:
    """Be the batch's carrier, as a flow run does."""
    async with ledger.begin() as session:
        carrier_id = await carriers.begin(session, batch_id, run or uuid4(), f"test:{uuid4()}")
        await batches.start(session, CARRIER, batch_id)
    return carrier_id


async def take(ledger: Ledger, batch_id: UUID, limit: int = 50) -> list[Job]:
    async with ledger.begin() as session:
        return await batches.take(session, CARRIER, batch_id, limit)


async def hand_over(ledger: Ledger, taken: list[Job]) -> None:
    """Intents before, tickets after; the jobs are WAITING then."""
    ids = [job.id for job in taken]
    async with ledger.begin() as session:
        written = intents.written(taken, ["hash"] * len(taken), 1)
        await events.require_move(session, CARRIER, ids, JobState.RUNNING, besides=written)
    tickets = [
        {"token": intents.token_of(job), "remote_id": f"remote-{job.id}", "details": {}}
        for job in taken
    ]
    async with ledger.begin() as session:
        besides = intents.accepted(tickets)
        await events.move(session, CARRIER, ids, JobState.WAITING, besides=besides)


async def finished(ledger: Ledger, job: Job, seconds: float = 0.5) -> Finished:
    executable = Executable("coin", b"", (Register("c", 1),))
    dataset = dataset_of(executable, 10, [{"0": 4, "1": 6}], job=str(job.id))
    stored = await ledger.payloads.keep(encode(dataset), MEDIA_TYPE)
    return Finished(job, [stored], [], seconds, 0.0, "qpu-seconds", {"wait_seconds": 0.1})


async def store(ledger: Ledger, done: list[Finished]) -> set[UUID]:
    async with ledger.begin() as session:
        return await results.store(ledger, session, CARRIER, done)


async def complete(ledger: Ledger, principal: Principal = ALICE, source: str = SOURCE) -> Job:
    """A job from its submission to its result, its batch closed and its carrier done."""
    accepted = await submit(ledger, principal, source=source)
    carrier_id = await begin(ledger, accepted.batch_id)
    taken = await take(ledger, accepted.batch_id)
    await hand_over(ledger, taken)
    await store(ledger, [await finished(ledger, job) for job in taken])
    async with ledger.begin() as session:
        assert await batches.close_if_empty(session, accepted.batch_id)
        await carriers.finish(session, carrier_id)
    return await job_of(ledger, accepted.job_id)


async def job_of(ledger: Ledger, job_id: UUID) -> Job:
    async with ledger.begin() as session:
        return await jobs.find(session, CARRIER, job_id)


async def source_of(ledger: Ledger, job_id: UUID) -> str:
    async with ledger.begin() as session:
        stored = await programs.of_jobs(ledger, session, [job_id])
    return stored[job_id][0].program.source


async def rows(ledger: Ledger, query: str, **values: Any) -> list[tuple[Any, ...]]:
    async with ledger.begin() as session:
        return [tuple(row) for row in await session.execute(text(query), values)]


async def scalar(ledger: Ledger, query: str, **values: Any) -> Any:
    return (await rows(ledger, query, **values))[0][0]


async def eventually_waits(ledger: Ledger) -> None:
    """Somebody else's statement waits for a lock."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(10):
        while await scalar(ledger, waiting) == 0:
            await rows(ledger, "SELECT pg_sleep(0.01)")
