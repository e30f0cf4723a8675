"""A QPU with outside effects that writes every execution down, and misbehaves on demand.

The journal is the far side's own record: it survives whoever drives the QPU, and it is what a
test counts executions by.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Any

from qpuflow.domain.compilers import Compiler
from qpuflow.domain.device import Device, DeviceStatus, Gate, Limits
from qpuflow.domain.errors import InputError, OutcomeUnknown, Refused, Unavailable
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.executable import Executable
from qpuflow.domain.quota import QPU_SECONDS
from qpuflow.domain.result import dataset_of
from qpuflow.drivers.base import Outcome, RemoteState, RemoteStatus, Ticket, Usage

NAME = "journalled"
ROOT = Path(__file__).parents[2]


class Crash(BaseException):
    """The process that drives the QPU is killed here: nothing after this line runs."""


class Mischief(Enum):
    """What goes wrong with the next submission."""

    REFUSE = auto()
    THROTTLE = auto()
    """Refused, and it says when to come again."""
    REJECT = auto()
    """The program itself is refused for good."""
    LOSE_REPLY = auto()
    """Accepted, and the answer never arrives."""
    LOSE_REQUEST = auto()
    """Never arrives, and neither does an answer."""
    CRASH_BEFORE = auto()
    CRASH_AFTER = auto()
    HANG = auto()
    """Accepted, and it runs until it is cancelled."""
    FAIL = auto()
    """Accepted, and the QPU reports a failure."""
    GARBLE = auto()
    """Accepted, and the result cannot be decoded."""


class JournalledQpu:
    """A driver. `mischief` says what happens to each of the next submissions, in order."""

    def __init__(self, journal: Path, *, outside_effects: bool = True) -> None:
        """Without effects outside it is a simulator."""
        self.journal = journal
        self._outside_effects = outside_effects
        self.mischief: deque[Mischief | None] = deque()
        self.deaf: Exception | None = None
        """What comes of asking what it accepted, in place of an answer."""
        self.away: Exception | DeviceStatus = DeviceStatus.ONLINE
        """What comes of asking how it is."""
        self.refuses = False
        """Whatever it is given, before any mischief."""
        self.refusals = 0
        self.unavailable_watches = 0
        self.broken_cancels: deque[Exception] = deque()
        """What comes of the next cancellations."""
        self.on_accept: Callable[[], Awaitable[None]] | None = None
        """What others do while it takes a job."""
        self.estimates = 0.5
        """Seconds that it expects any job to take."""
        self.price: tuple[float, float, str] | None = None
        """What it expects of any job, what it charges then, and in which unit."""
        self.silent_estimates = 0
        self.takes = 0.0
        """Seconds that it does take: one after the other, whoever watches."""
        self.queues = False
        """It keeps a queue of its own."""
        self._cancelled: dict[str, asyncio.Event] = {}

    @property
    def device(self) -> Device:
        return Device(
            name=NAME,
            num_qubits=3,
            gates=tuple(Gate(name=name) for name in ("rz", "sx", "x", "cx", "measure", "reset")),
            limits=Limits(max_qubits=3, max_shots=1000),
            outside_effects=self._outside_effects,
            queues=self.queues,
            compilers=tuple(Compiler),
        )

    def executions(self) -> list[dict[str, Any]]:
        """Every execution that ever began, the oldest first."""
        if not self.journal.exists():
            return []
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    async def describe(self) -> Device:
        if isinstance(self.away, Exception):
            raise self.away
        return self.device.model_copy(update={"status": self.away})

    async def submit(self, executables: Sequence[Executable], shots: int, token: str) -> Ticket:
        """It does not look whether it knows the token: whoever submits twice executes twice."""
        await asyncio.sleep(0)
        if self.refuses:
            self.refusals += 1
            raise Refused("Not now")
        mischief = self.mischief.popleft() if self.mischief else None
        match mischief:
            case Mischief.REFUSE:
                raise Refused("Busy")
            case Mischief.THROTTLE:
                raise Refused("Busy", retry_after_seconds=0.05)
            case Mischief.REJECT:
                raise InputError("No such gate here")
            case Mischief.LOSE_REQUEST:
                raise OutcomeUnknown("No answer")
            case Mischief.CRASH_BEFORE:
                raise Crash
            case _:
                ticket = self._accept(executables, shots, token, mischief)
        if self.on_accept is not None:
            await self.on_accept()
        match mischief:
            case Mischief.LOSE_REPLY:
                raise OutcomeUnknown("No answer")
            case Mischief.CRASH_AFTER:
                raise Crash
            case _:
                return ticket

    def _accept(
        self, executables: Sequence[Executable], shots: int, token: str, mischief: Mischief | None
    ) -> Ticket:
        before = self.executions()
        idle_from = before[-1]["ends_at"] if before else 0.0
        entry: dict[str, Any] = {
            "token": token,
            "id": f"run-{len(before)}",
            "ends_at": max(time.time(), idle_from) + self.takes,
            "programs": [executable.name for executable in executables],
            "shots": shots,
            "mischief": mischief.name if mischief else None,
        }
        with self.journal.open("a") as journal:
            journal.write(json.dumps(entry) + "\n")
        return Ticket(entry["id"], token, {"programs": len(executables)})

    async def find(self, token: str) -> Ticket | None:
        if self.deaf is not None:
            raise self.deaf
        for entry in self.executions():
            if entry["token"] == token:
                return Ticket(entry["id"], token, {"programs": len(entry["programs"])})
        return None

    def _entry(self, ticket: Ticket) -> dict[str, Any]:
        return next(entry for entry in self.executions() if entry["id"] == ticket.id)

    async def watch(self, ticket: Ticket) -> AsyncIterator[RemoteStatus]:
        if self.unavailable_watches:
            self.unavailable_watches -= 1
            raise Unavailable("The link is down")
        yield RemoteStatus(RemoteState.RUNNING)
        entry = self._entry(ticket)
        await asyncio.sleep(entry["ends_at"] - time.time())
        match entry["mischief"]:
            case "HANG":
                await self._cancellation(ticket).wait()
                yield RemoteStatus(RemoteState.CANCELLED, "Cancelled on the QPU")
            case "FAIL":
                yield RemoteStatus(RemoteState.FAILED, "The fridge is warm")
            case _:
                yield RemoteStatus(RemoteState.COMPLETED)

    async def fetch(self, ticket: Ticket) -> Outcome:
        entry = self._entry(ticket)
        if entry["mischief"] == "GARBLE":
            raise ValueError("unexpected bytes")
        datasets = tuple(
            dataset_of(Executable(name, b"", ()), entry["shots"], [{"0": entry["shots"]}])
            for name in entry["programs"]
        )
        _, cost, unit = self.price or (0.0, 0.0, QPU_SECONDS)
        return Outcome(datasets, Usage(self.takes or 0.5, cost, unit))

    async def cancel(self, ticket: Ticket) -> None:
        if self.broken_cancels:
            raise self.broken_cancels.popleft()
        self._cancellation(ticket).set()

    def _cancellation(self, ticket: Ticket) -> asyncio.Event:
        return self._cancelled.setdefault(ticket.id, asyncio.Event())

    async def estimate(self, executables: Sequence[Executable], shots: int) -> Estimate:
        if self.silent_estimates:
            self.silent_estimates -= 1
            raise Unavailable("The price list is away")
        cost, _, unit = self.price or (0.0, 0.0, QPU_SECONDS)
        return Estimate(self.estimates, cost, unit)

    async def calibration(self) -> Mapping[str, Any]:
        return {}

    async def close(self) -> None:
        return None


def driver(_name: str, settings: Mapping[str, Any], _secrets: Mapping[str, str]) -> JournalledQpu:
    """As the plug-in that `package` makes: `settings` are the journal and how long jobs take."""
    qpu = JournalledQpu(Path(settings["journal"]))
    qpu.takes = settings.get("takes", 0.0)
    qpu.estimates = qpu.takes or qpu.estimates
    return qpu


def package(site: Path) -> str:
    """What an installed package with this driver would leave, as a PYTHONPATH."""
    about = site / "journalled-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: journalled\nVersion: 1\n")
    entry = f"[qpuflow.drivers]\n{NAME} = {__name__}:driver\n"
    (about / "entry_points.txt").write_text(entry)
    return os.pathsep.join([str(site), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
