"""The interface between qpuflow and one kind of QPU. Third parties implement it too.

A driver is found by its entry point in the group ``qpuflow.drivers``; the object there is a
`DriverFactory`. `qpuflow.drivers.conformance` holds the tests that every driver must pass.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from qpuflow.domain.device import Device
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.executable import Executable
from qpuflow.domain.vendor_calendar import VendorCalendar

if TYPE_CHECKING:
    import xarray as xr


class RemoteState(StrEnum):
    """What a QPU says about work it accepted."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """The QPU has no outside effects and no longer knows the work: run it again."""

    @property
    def is_final(self) -> bool:
        return self not in (RemoteState.QUEUED, RemoteState.RUNNING)


@dataclass(frozen=True, slots=True)
class RemoteStatus:
    state: RemoteState
    message: str = ""
    queue_position: int | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """The QPU's own identifier for what it accepted, and what else it takes to find it again.

    `details` must survive JSON.
    """

    id: str
    token: str
    details: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Usage:
    """What the run really took, for the charge. `seconds` is QPU time, never time in a queue."""

    seconds: float
    cost: float = 0.0
    unit: str = "qpu-seconds"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `fetch` returns: one dataset per executable, in order, and what they took."""

    datasets: tuple[xr.Dataset, ...]
    usage: Usage


class Driver(Protocol):
    """Talks to one QPU. Every method may raise `qpuflow.domain.errors` and nothing else on purpose.

    `submit` raises `Refused` when the QPU certainly did not accept the work and
    `OutcomeUnknown` when nobody can tell; in that case only `find` may be called next. Where `find`
    raises `PartlyAccepted`, `submit` is called again under the same token, and hands over what is
    missing: only for QPUs that make no second run of the same part.
    """

    async def describe(self) -> Device: ...
    async def submit(self, executables: Sequence[Executable], shots: int, token: str) -> Ticket:
        """Hand the work over once. `token` is the idempotency handle, unique per attempt."""
        ...

    async def find(self, token: str) -> Ticket | None:
        """The ticket of what was accepted under `token`, if anything was."""
        ...

    def watch(self, ticket: Ticket) -> AsyncIterator[RemoteStatus]:
        """Changes of state until a final one. May be called again, from another process."""
        ...

    async def fetch(self, ticket: Ticket) -> Outcome: ...
    async def cancel(self, ticket: Ticket) -> None:
        """Stop it. Other work on the same QPU is not touched; finished work is left alone."""
        ...

    async def estimate(self, executables: Sequence[Executable], shots: int) -> Estimate: ...
    async def calibration(self) -> Mapping[str, Any]:
        """The calibration in force now, as JSON; empty where the QPU has none."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class FencedDriver(Driver, Protocol):
    """A driver whose QPU itself refuses those whose lease is over."""

    async def submit_fenced(
        self, executables: Sequence[Executable], shots: int, token: str, fencing_token: int
    ) -> Ticket:
        """As `submit`. `fencing_token` is that of the lease; it only grows."""
        ...


@runtime_checkable
class ForgetfulDriver(Driver, Protocol):
    """A driver whose vendor keeps with the work nothing by which its result could be read.

    Its `fetch` knows tickets that `submit` made; one that was found or settled needs the programs.
    """

    async def fetch_for(self, ticket: Ticket, executables: Sequence[Executable]) -> Outcome: ...


@runtime_checkable
class KeepingDriver(Driver, Protocol):
    """A driver whose QPU keeps results until it hears that the ledger has them."""

    async def confirm(self, tokens: Sequence[str]) -> Sequence[str]:
        """What became of these is on record: nobody will fetch them again.

        Without tokens it returns those of work that ended a while ago and was not confirmed yet.
        """
        ...


@runtime_checkable
class TelemetryDriver(Driver, Protocol):
    """A driver whose QPU tells how its instruments are."""

    async def telemetry(self) -> Mapping[str, float | None]:
        """By channel, whose name ends with the unit; None for a sensor that cannot tell."""
        ...


@runtime_checkable
class CalendarDriver(Driver, Protocol):
    """A driver whose vendor says when the device is whose, or works at all."""

    async def vendor_calendar(self, now: datetime) -> VendorCalendar:
        """From now on, for some weeks."""
        ...


class DriverFactory(Protocol):
    """What an entry point in ``qpuflow.drivers`` names: builds a driver from plain settings."""

    def __call__(
        self, name: str, settings: Mapping[str, Any], secrets: Mapping[str, str]
    ) -> Driver: ...
