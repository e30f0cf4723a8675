"""One part of the stack: how it is run and checked, and its life under the supervisor."""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from qpuflow.deployments.stack import tree
from qpuflow.deployments.stack.events import Announce, Event, Phase
from qpuflow.deployments.stack.home import end_of
from qpuflow.deployments.stack.processes import Running
from qpuflow.domain.endpoints import PartRecord
from qpuflow.domain.errors import OperatorNeeded, Unavailable

CHECK_SECONDS = 5.0
CHECKS_TO_FAIL = 3
STARTS_TO_FAIL = 3
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
STABLE_SECONDS = 60.0
"""Having run so long, a part is forgiven its earlier crashes."""


async def nothing() -> None:
    """For parts that need no preparation."""


@dataclass(frozen=True)
class Part:
    """What runs. A part that is `once` has done its work when it exits with 0."""

    name: str
    start: Callable[[Path], Awaitable[Running]]
    """Given the log to write to."""
    check: Callable[[datetime], Awaitable[None]] | None
    """Given the time of the last start; raises `Unavailable` unless the part does its work."""
    needs: tuple[str, ...] = ()
    """Parts that must be ready before it can start, and before its own failures mean anything."""
    prepare: Callable[[], Awaitable[None]] = nothing
    """Before each start."""
    complete: Callable[[], Awaitable[None]] = nothing
    """After each start, once it answers."""
    stop_signal: signal.Signals = signal.SIGTERM
    start_seconds: float = 120.0
    stop_seconds: float = 10.0
    starts_to_fail: int = STARTS_TO_FAIL
    once: bool = False
    is_optional: bool = False
    """Without it the rest is as useful: when it does not start, the stack goes on."""


@dataclass
class Member:
    """A part in a running stack."""

    part: Part
    announce: Announce
    log: Path
    phase: Phase = Phase.STOPPED
    process: Running | None = None
    restarts: int = -1
    failures: int = 0
    failed_checks: int = 0
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = 0.0
    not_before: float = 0.0
    next_check: float = 0.0

    @property
    def is_ready(self) -> bool:
        return self.phase is Phase.READY

    @property
    def is_settled(self) -> bool:
        """Nobody has to wait for it: it is ready, or the stack goes on without it."""
        return self.is_ready or (self.part.is_optional and self._does_not_start)

    @property
    def _does_not_start(self) -> bool:
        return self.failures >= self.part.starts_to_fail

    @property
    def record(self) -> PartRecord:
        pid = self.process.pid if self.process else None
        return PartRecord(
            name=self.part.name, phase=self.phase, pid=pid, restarts=max(self.restarts, 0)
        )

    async def tend(self) -> None:
        """Look at it once, and do the next thing it needs."""
        if self.process is None:
            await self._start_when_due()
        elif self.process.returncode is not None:
            self._note_exit(self.process.returncode)
        elif self.phase is Phase.STARTING:
            await self._look_for_start()
        elif time.monotonic() >= self.next_check:
            await self._look_for_health()

    async def stop(self) -> None:
        process, self.process = self.process, None
        if process and process.returncode is None:
            self._say(Phase.STOPPING)
            await tree.end(process.pid, self.part.stop_signal, self.part.stop_seconds)
            await process.wait()
        if not (self.part.once and self.is_ready):
            self._say(Phase.STOPPED)

    async def _start_when_due(self) -> None:
        if self.is_ready or time.monotonic() < self.not_before:
            return
        self._say(Phase.STARTING)
        await self.part.prepare()
        self.since, self.started = datetime.now(UTC), time.monotonic()
        self.restarts += 1
        self.failed_checks = 0
        try:
            self.process = await self.part.start(self.log)
        except OSError as error:
            with self.log.open("a", encoding="utf-8") as log:
                log.write(f"Not started: {error}\n")
            self._note_failure("not started")

    async def _look_for_start(self) -> None:
        waited = time.monotonic() - self.started
        if self.part.check is None:
            reason = "it has not finished"
        else:
            reason = await self._ill()
            if reason is None:
                await self.part.complete()
                return self._be_ready()
        if waited > self.part.start_seconds:
            await self._give_up(f"not ready after {waited:.0f} s: {reason}")
        return None

    async def _look_for_health(self) -> None:
        self.next_check = time.monotonic() + CHECK_SECONDS
        reason = await self._ill()
        self.failed_checks = self.failed_checks + 1 if reason else 0
        if self.failed_checks >= CHECKS_TO_FAIL:
            await self._give_up(f"{CHECKS_TO_FAIL} checks failed: {reason}")

    async def _ill(self) -> str | None:
        assert self.part.check
        try:
            await self.part.check(self.since)
        except Unavailable as error:
            return error.what
        return None

    async def _give_up(self, reason: str) -> None:
        if process := self.process:
            await tree.end(process.pid, self.part.stop_signal, self.part.stop_seconds)
            await process.wait()
            self._note_failure(reason)

    def _note_exit(self, code: int) -> None:
        if self.part.once and code == 0:
            self.process = None
            return self._be_ready()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return self._note_failure(how)

    def _note_failure(self, how: str) -> None:
        lived = time.monotonic() - self.started
        stable = self.is_ready and lived > STABLE_SECONDS
        self.failures = 1 if stable else self.failures + 1
        self.process = None
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (self.failures - 1))
        self.not_before = time.monotonic() + delay
        attempt = f"start {self.restarts + 2} in {delay:g} s"
        self._say(Phase.CRASHED, f"{how} after {lived:.1f} s; {attempt}")

    def check_that_it_can_start(self) -> None:
        """Raise `OperatorNeeded` with the end of its log when it has died too often."""
        if self._does_not_start and not self.part.is_optional:
            raise OperatorNeeded(
                f"{self.part.name} does not start. The end of its log:\n{end_of(self.log)}\n",
                where=str(self.log),
                remedy="Mend what it says and start again; `qpuflow doctor` may know more.",
            )

    def _be_ready(self) -> None:
        self.next_check = time.monotonic() + CHECK_SECONDS
        again = f", start {self.restarts + 1}" if self.restarts else ""
        self._say(Phase.READY, f"{time.monotonic() - self.started:.1f} s{again}")

    def _say(self, phase: Phase, message: str = "") -> None:
        self.phase = phase
        self.announce(Event(part=self.part.name, phase=phase, message=message))
