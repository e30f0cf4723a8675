"""The six steps without Prefect: each task's own function, as one carrier after another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

from qpuflow.domain.job import Job
from qpuflow.domain.principal import Principal, service
from qpuflow.domain.request import JobOptions, JobRequest, Program
from qpuflow.domain.settings import Settings
from qpuflow.drivers.forked import ForkedPool
from qpuflow.ledger import batches, carriers, jobs, qpus
from qpuflow.ledger.database import Ledger
from qpuflow.tasks.admission import Journey, admit
from qpuflow.tasks.book_slot import book_slot
from qpuflow.tasks.dispatch import dispatch
from qpuflow.tasks.post_process import post_process
from qpuflow.tasks.pulse import Pulse
from qpuflow.tasks.store import store
from qpuflow.tasks.transpile import transpile
from qpuflow.tasks.wait import wait
from qpuflow.tasks.work import Carrying, Chunk, Work
from tests.tasks.journalled import NAME, JournalledQpu

USER = Principal("alice", "alice")
STEPS = (transpile, book_slot, dispatch, wait, post_process, store)
SOURCE = """OPENQASM 3.0; include "stdgates.inc";
qubit q; bit c; h q; c = measure q;"""


async def register(ledger: Ledger, qpu: JournalledQpu) -> None:
    async with ledger.begin() as session:
        await qpus.register(
            session, service("test"), qpu.device, block="test/test", pool=NAME, lanes=1
        )


async def run(step: Any, chunk: Chunk) -> Chunk:
    """A step's plain function, as Prefect would call it."""
    return await cast("Callable[[Chunk], Awaitable[Chunk]]", step.fn)(chunk)


class Pipeline:
    """One QPU, one ledger, and as many carriers as it takes."""

    def __init__(self, ledger: Ledger, qpu: JournalledQpu, compilers: ForkedPool) -> None:
        self.ledger, self.qpu, self.compilers = ledger, qpu, compilers
        self.settings = Settings(
            max_attempts=3,
            lost_after_seconds=30,
            refused_pause_seconds=0.001,
            longest_pause_seconds=0.05,
        )
        self.certain_seconds = 3600.0
        """No carrier here has a heart."""
        self.later_driver: JournalledQpu | None = None
        """What the QPU's block has after a change."""

    async def renewed(self) -> JournalledQpu:
        return self.later_driver or self.qpu

    async def submit(
        self,
        count: int = 1,
        source: str = SOURCE,
        who: Principal = USER,
        observables: Mapping[str, dict[str, float]] | None = None,
        points: Sequence[dict[str, float]] = (),
        start_by: datetime | None = None,
        **options: Any,
    ) -> list[UUID]:
        programs = [
            Program(source=source, parameters=list(points), observables=dict(observables or {}))
        ]
        request = JobRequest(
            programs=programs, shots=10, options=JobOptions(**options), start_by=start_by
        )
        accepted = [
            await admit(self.ledger, who, request, Journey(NAME, key=uuid4().hex))
            for _ in range(count)
        ]
        return [one.job_id for one in accepted]

    async def begin(self, batch_id: UUID, flow_run_id: UUID | None = None) -> Carrying:
        """The batch's next carrier, in a new run or in this one."""
        principal = service("carrier")
        async with self.ledger.begin() as session:
            carrier_id = await carriers.begin(
                session, batch_id, flow_run_id or uuid4(), f"test:{uuid4()}"
            )
            await batches.start(session, principal, batch_id)
            qpu = await qpus.find(session, NAME)
        return Carrying(
            self.ledger,
            self.settings,
            principal,
            carrier_id,
            batch_id,
            qpu,
            self.qpu,
            self.compilers,
            Pulse(self.certain_seconds),
            renewed=self.renewed,
        )

    async def take(self, carrying: Carrying) -> Chunk:
        async with self.ledger.begin() as session:
            taken = await batches.take(session, carrying.principal, carrying.batch_id, 50)
        return Chunk(carrying, [Work(job) for job in taken])

    async def resume(self, carrying: Carrying) -> Chunk:
        async with self.ledger.begin() as session:
            found = await batches.handed_over(session, carrying.batch_id)
        return Chunk(carrying, [Work(job) for job in found])

    async def steps(self, chunk: Chunk, steps: Sequence[Any] = STEPS) -> Chunk:
        for step in steps:
            chunk = await run(step, chunk)
        return chunk

    async def carry(self, carrying: Carrying) -> None:
        """Everything that was handed over before, then everything queued, until nothing is."""
        chunk = await self.resume(carrying)
        if not chunk.works:
            chunk = await self.take(carrying)
        while chunk.works:
            await self.steps(chunk)
            chunk = await self.take(carrying)

    async def crash(self, carrying: Carrying) -> None:
        """What the reaper does with a carrier whose process is gone."""
        async with self.ledger.begin() as session:
            (carriage,) = [c for c in await carriers.live(session) if c.id == carrying.carrier_id]
            await carriers.lose(session, carrying.principal, carriage, "it was killed", 10)

    async def job(self, job_id: UUID) -> Job:
        async with self.ledger.begin() as session:
            return await jobs.find(session, service("test"), job_id)

    async def batch_of(self, job_id: UUID) -> UUID:
        return (await self.job(job_id)).batch_id
