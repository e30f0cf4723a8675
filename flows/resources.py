"""What the flow runs of one process share: the ledger, compilers, and a driver for each QPU."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Generator, Hashable
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import State

from qpuflow.domain.compiling import MODULES
from qpuflow.domain.digest import digest
from qpuflow.domain.freshness import BELIEVED_SECONDS
from qpuflow.domain.settings import Settings
from qpuflow.domain.steps import QpuRules
from qpuflow.drivers import tket
from qpuflow.drivers.base import Driver
from qpuflow.drivers.forked import ForkedPool
from qpuflow.flows.open_ledger import open_ledger
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.qpus import RegisteredQpu


@dataclass(frozen=True, slots=True)
class _Kept:
    """A driver, a digest of the block that it was built from, and when that was read."""

    driver: Driver
    content: str
    expires_at: datetime | None
    looked_at: float


@dataclass
class Suspension:
    """A carrier at work, and the state in which it is suspended, if it is."""

    task: asyncio.Task[Any]
    state: State[Any] | None = None


class Resources:
    """Open connections. A driver is kept for as long as its block says the same."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self.settings = settings
        self.ledger = ledger
        self.draining = asyncio.Event()
        """Set when this process is about to end: finish what is begun, begin nothing."""
        self.ending: set[UUID] = set()
        """Flow runs that somebody cancelled: they begin nothing more."""
        self.idle: set[UUID] = set()
        """Flow runs whose seats are free: they wait for another run, or for a time, or have only
        something to show."""
        self.seat_left: Callable[[], None] = lambda: None
        """Called when a run leaves its seat, and has not ended."""
        self._carrying: dict[UUID, Suspension] = {}
        self.crowded = False
        """Runs wait for a seat: who has nothing to do gives it up."""
        self.outranked: frozenset[Hashable] = frozenset()
        """Batches that have a seat, and wait, while others that come before them have none."""
        self.compilers = ForkedPool(MODULES, size=os.cpu_count() or 1)
        self.tket = ForkedPool(tket.PRELOAD, size=os.cpu_count() or 1)
        self._drivers: dict[str, _Kept] = {}
        self._retired: list[Driver] = []
        """Replaced, but jobs may still wait on them."""

    @contextmanager
    def carried_by(self, flow_run_id: UUID) -> Generator[Suspension]:
        """The block may be ended by `suspend`: then it is cancelled, and told the state."""
        task = asyncio.current_task()
        assert task is not None
        suspension = self._carrying[flow_run_id] = Suspension(task)
        try:
            yield suspension
        finally:
            self.leaves_by_itself(flow_run_id)
            if suspension.state is not None:
                task.uncancel()

    @contextmanager
    def leaving_the_seat(self, flow_run_id: UUID) -> Generator[None]:
        """Who waits in the block keeps nobody from starting: least of all whom it waits for."""
        self.idle.add(flow_run_id)
        self.seat_left()
        try:
            yield
        finally:
            self.idle.discard(flow_run_id)

    def leaves_by_itself(self, flow_run_id: UUID) -> None:
        """It is not to be ended by `suspend` any more."""
        self._carrying.pop(flow_run_id, None)

    def suspend(self, flow_run_id: UUID, state: State[Any]) -> None:
        """Have a carrier leave this process at once, in the middle of what it waits for."""
        carrying = self._carrying.get(flow_run_id)
        if carrying is not None and carrying.state is None:
            carrying.state = state
            carrying.task.cancel()

    async def driver(self, qpu: RegisteredQpu) -> Driver:
        """The QPU's driver, built anew soon after somebody changed its block."""
        from qpuflow.blocks import load_qpu

        known = self._drivers.get(qpu.name)
        if known is not None and time.monotonic() - known.looked_at < BELIEVED_SECONDS:
            return known.driver
        block = await load_qpu(qpu.block)
        content = digest(block.model_dump(mode="json", context={"include_secrets": True}))
        # Another run may have been here meanwhile; from here on nothing waits.
        known = self._drivers.get(qpu.name)
        if known is None or known.content != content:
            self._retired += [known.driver] if known is not None else []
            known = _Kept(block.driver(qpu.name), content, block.expires_at, 0.0)
        self._drivers[qpu.name] = replace(known, looked_at=time.monotonic())
        return known.driver

    def credentials_expire_at(self, qpu: str) -> datetime | None:
        """Of a QPU whose `driver` was asked for; None if they do not, as far as anybody knows."""
        known = self._drivers.get(qpu)
        return known.expires_at if known else None

    async def close(self) -> None:
        self.compilers.close()
        self.tket.close()
        for driver in [*self._retired, *(one.driver for one in self._drivers.values())]:
            await driver.close()


_kept: ContextVar[Resources | None] = ContextVar("resources", default=None)


_acting_as: ContextVar[str | None] = ContextVar("acting_as", default=None)
_rules: ContextVar[QpuRules] = ContextVar("rules", default=QpuRules())  # noqa: B039  frozen


@contextmanager
def acting_as(user: str | None, rules: QpuRules) -> Generator[None]:
    """A flow run within the block that names no user is made on behalf of this one.

    The rules are those of its QPU, where they differ from the installation's.
    """
    user_token, rules_token = _acting_as.set(user), _rules.set(rules)
    try:
        yield
    finally:
        _acting_as.reset(user_token)
        _rules.reset(rules_token)


def rules_of_this_run() -> QpuRules:
    return _rules.get()


def default_user(settings: Settings) -> str:
    return _acting_as.get() or settings.user


@asynccontextmanager
async def keep_resources(settings: Settings) -> AsyncGenerator[Resources]:
    """Open them for every flow run that starts within the block, as in a resident worker."""
    async with _opened(settings) as opened:
        token = _kept.set(opened)
        try:
            yield opened
        finally:
            _kept.reset(token)


@asynccontextmanager
async def resources() -> AsyncGenerator[Resources]:
    """Those that this process keeps, else some for the length of the block."""
    if (kept := _kept.get()) is not None:
        yield kept
        return
    async with _opened(Settings()) as own:
        yield own


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncGenerator[Resources]:
    async with open_ledger(settings) as ledger:
        opened = Resources(settings, ledger)
        try:
            yield opened
        finally:
            await opened.close()
