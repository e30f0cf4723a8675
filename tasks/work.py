"""What flows through the six steps: a chunk of one batch's jobs, and what is known of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from qpuflow.domain.compilers import vendor_level
from qpuflow.domain.executable import Executable
from qpuflow.domain.job import Job, JobState
from qpuflow.domain.principal import Principal
from qpuflow.domain.settings import Settings
from qpuflow.drivers.base import Driver, Outcome, Ticket
from qpuflow.drivers.forked import ForkedPool
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.programs import CacheKey, StoredPiece, StoredProgram
from qpuflow.ledger.qpus import RegisteredQpu
from qpuflow.ledger.results import Finished
from qpuflow.tasks.pulse import Pulse


@dataclass(frozen=True, slots=True)
class End:
    """How a job leaves the pipeline without a result. QUEUED: it will be tried again."""

    state: JobState
    reason: str
    was_tried: bool = True
    """False: its turn had not come, and it is still in the same attempt."""


@dataclass(frozen=True, slots=True)
class Work:
    """One job on its way. Each step returns a copy that knows more."""

    job: Job
    programs: tuple[StoredProgram, ...] = ()
    parts: tuple[tuple[StoredPiece, ...], ...] = ()
    """Per program its compiled circuits: several where observables need several bases."""
    is_outline: bool = False
    """What the QPU was given is not known any more: `parts` say how to read its result, no more."""
    ticket: Ticket | None = None
    outcome: Outcome | None = None
    finished: Finished | None = None
    end: End | None = None
    is_left: bool = False
    """The QPU has it, and its result is for a later run of this carrier."""
    timings: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def payload_hashes(self) -> list[list[str]]:
        """Of its circuits, by program."""
        return [[part.payload_hash for part in parts] for parts in self.parts]

    @property
    def executables(self) -> tuple[Executable, ...]:
        """All circuits of the job in the order of its programs."""
        options = self.job.options
        return tuple(
            Executable(
                stored.program.name,
                part.piece.compiled.qpy,
                part.piece.compiled.registers,
                tuple(stored.program.parameters or ({},)),
                seed=options.seed,
                method=options.method,
                memory=options.memory,
                measurement_level=options.measurement_level,
                average=options.average,
                active_reset=options.reset == "active",
                vendor_level=vendor_level(options.compiler, options.optimization_level),
                max_cost=options.max_cost,
            )
            for stored, parts in zip(self.programs, self.parts, strict=True)
            for part in parts
        )

    def ended(self, state: JobState, reason: str) -> Work:
        return replace(self, end=End(state, reason))

    def put_back(self, reason: str) -> Work:
        """Queued again as if it had not been taken."""
        return replace(self, end=End(JobState.QUEUED, reason, was_tried=False))

    @property
    def is_put_back(self) -> bool:
        return self.end is not None and not self.end.was_tried

    def timed(self, step: str, seconds: float) -> Work:
        """The first note of a step stands: what the job itself took, if the step knows it."""
        return replace(self, timings={f"{step}_seconds": round(seconds, 6), **self.timings})


@dataclass(frozen=True)
class Carrying:
    """What a carrier works with: whose pipeline this is."""

    ledger: Ledger
    settings: Settings
    principal: Principal
    carrier_id: UUID
    batch_id: UUID
    qpu: RegisteredQpu
    driver: Driver
    compilers: ForkedPool
    pulse: Pulse
    is_wanted: Callable[[], bool] = lambda: False
    """Whether somebody else waits for the seat that this carrier has."""
    is_outranked: Callable[[], bool] = lambda: False
    """The same, and comes before it in the order of the QPU."""
    may_sleep: bool = True
    """Whether its run can leave a job at a QPU with a queue of its own, and come back for it."""
    tket: ForkedPool | None = None
    """For compilation by pytket, whose imports are kept out of all other processes."""
    compiled: dict[CacheKey, tuple[StoredPiece, ...]] = field(
        default_factory=dict[CacheKey, tuple[StoredPiece, ...]], compare=False
    )
    """What the chunk before was compiled to: a loop runs a few programs with many values. While a
    job has the program, nobody deletes what it was compiled to."""
    renewed: Callable[[], Awaitable[Driver]] | None = None
    """The driver as the QPU's block has it by now."""


class Chunk:
    """Jobs that take the steps together.

    A plain class on purpose: Prefect walks through dataclasses and lists that a task is given,
    looking for futures.
    """

    def __init__(
        self, carrying: Carrying, works: Sequence[Work], fencing_token: int | None = None
    ) -> None:
        self.carrying = carrying
        self.works = tuple(works)
        self.fencing_token = fencing_token

    @property
    def active(self) -> tuple[Work, ...]:
        """Jobs that have not left the pipeline."""
        return tuple(work for work in self.works if work.end is None and not work.is_left)

    @property
    def is_put_back(self) -> bool:
        """All of the jobs wait in the queue again."""
        return all(work.is_put_back for work in self.works)

    @property
    def has_put_back(self) -> bool:
        """Some of the jobs wait in the queue again."""
        return any(work.is_put_back for work in self.works)

    def without_those_put_back(self) -> Chunk:
        """What came of those whose turn it was."""
        works = [work for work in self.works if not work.is_put_back]
        return Chunk(self.carrying, works, self.fencing_token)

    def updated(self, changed: Iterable[Work], *, fencing_token: int | None = None) -> Chunk:
        """The same jobs, some of them with what was learned."""
        latest = {work.job.id: work for work in self.works} | {w.job.id: w for w in changed}
        token = self.fencing_token if fencing_token is None else fencing_token
        return Chunk(self.carrying, tuple(latest.values()), token)

    def mapped(self, change: Callable[[Work], Work]) -> Chunk:
        return self.updated(change(work) for work in self.active)
