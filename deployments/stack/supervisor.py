"""Starts the parts in order, restarts what crashes, stops in reverse. Runs under the guard.

``python -m qpuflow.deployments.stack.supervisor <plan as JSON>``; settings come from the
environment. Events leave on standard output, one JSON object a line. Standard input is the link
to whoever started us: its end means stop, unless the word `DETACH` came first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time

from qpuflow.deployments.stack import postgres, shipped_rack, tree
from qpuflow.deployments.stack.events import DETACH, STACK, Event, Failure, Phase
from qpuflow.deployments.stack.guard import LIFELINE, adopt_orphans
from qpuflow.deployments.stack.home import logs, rotate, rotate_large
from qpuflow.deployments.stack.part import Member
from qpuflow.deployments.stack.parts import MARK, addresses, cluster_of, parts, preloader
from qpuflow.deployments.stack.plan import Plan
from qpuflow.deployments.stack.processes import Preloader
from qpuflow.domain.endpoints import Endpoints, ProcessIdentity, StackRecord, record_file
from qpuflow.domain.errors import OperatorNeeded, QpuflowError
from qpuflow.domain.settings import Settings

LOOK_SECONDS = 0.1
SWEEP_SECONDS = 2.0
LOG = logging.getLogger("qpuflow.stack")


class Supervisor:
    def __init__(self, plan: Plan, settings: Settings) -> None:
        self.plan = plan
        self.settings = settings
        self.members: list[Member] = []
        self.endpoints: Endpoints | None = None
        self.preloader: Preloader | None = None
        self.next_sweep = 0.0
        self.ready = False
        self.identity, self.guard = (
            ProcessIdentity.of(os.getpid()),
            ProcessIdentity.of(os.getppid()),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set, or a part cannot be started."""
        self._announce(Event(part=STACK, phase=Phase.STARTING))
        try:
            await self._gather()
            while not stop.is_set():
                await self._tend()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
        finally:
            await self._stop()

    async def _gather(self) -> None:
        await tree.end_leftovers(MARK, str(self.settings.root))
        if cluster := cluster_of(self.settings):
            await postgres.prepare(cluster)
        where = addresses(self.settings)
        self.endpoints = where.endpoints
        self.preloader = preloader(self.plan, self.settings, where)
        if self.plan.bring_up or self.plan.workers(self.settings):
            await self.preloader.warm_up()
        for part in parts(self.plan, self.settings, where, self.preloader):
            log = logs(self.settings) / f"{part.name}.log"
            rotate(log)
            self.members.append(Member(part, self._announce, log))

    async def _tend(self) -> None:
        before = self._record
        for member in self.members:
            settled = {other.part.name for other in self.members if other.is_settled}
            if settled.issuperset(member.part.needs):
                await member.tend()
            if not self.ready:
                member.check_that_it_can_start()
        self._sweep()
        if not self.ready and all(member.is_settled for member in self.members):
            self.ready = True
            self._record.write(self.settings)
            self._announce(
                Event(part=STACK, phase=Phase.READY, message=self._record.endpoints.ui_url)
            )
        elif self._record != before:
            self._record.write(self.settings)

    def _sweep(self) -> None:
        if time.monotonic() >= self.next_sweep:
            self.next_sweep = time.monotonic() + SWEEP_SECONDS
            tree.reap_strays(self._pids)
            rotate_large(logs(self.settings))

    async def _stop(self) -> None:
        self._announce(Event(part=STACK, phase=Phase.STOPPING))
        for member in reversed(self.members):
            if not member.part.needs:
                # What crashed workers left behind still wants to tell the server how it ended.
                await tree.end_strays(self._pids)
            await member.stop()
        if self.preloader:
            await self.preloader.stop()
        await tree.end_strays(())
        if cluster := cluster_of(self.settings):
            postgres.remove_sockets(cluster)
        shipped_rack.remove_sockets(self.settings)

    @property
    def _pids(self) -> list[int]:
        parts = [member.process.pid for member in self.members if member.process]
        return parts + (self.preloader.pids if self.preloader else [])

    @property
    def _record(self) -> StackRecord:
        assert self.guard
        assert self.identity
        assert self.endpoints
        return StackRecord(
            guard=self.guard,
            supervisor=self.identity,
            ready=self.ready,
            endpoints=self.endpoints,
            parts=tuple(member.record for member in self.members),
        )

    def _announce(self, event: Event) -> None:
        LOG.info("%s", event)
        tell(event)


def tell(event: Event) -> None:
    """Nobody listens any more once the caller has detached or died."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(f"{event.model_dump_json()}\n")
        sys.stdout.flush()


async def main() -> int:
    adopt_orphans()
    settings = Settings()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    watchers = [
        asyncio.create_task(_stop_at_end_of(int(os.environ.pop(LIFELINE)), stop)),
        asyncio.create_task(_stop_at_end_of(sys.stdin.fileno(), stop)),
    ]
    failure = await _run(Supervisor(Plan.model_validate_json(sys.argv[1]), settings), stop)
    for watcher in watchers:
        watcher.cancel()
    record_file(settings).unlink(missing_ok=True)
    tell(Event(part=STACK, phase=Phase.FAILED if failure else Phase.STOPPED, failure=failure))
    return 1 if failure else 0


async def _run(supervisor: Supervisor, stop: asyncio.Event) -> Failure | None:
    try:
        await supervisor.run(stop)
    except QpuflowError as error:
        LOG.error("%s", error)
        return Failure.of(error)
    except OSError as error:
        LOG.exception("The stack fails")
        return Failure.of(OperatorNeeded(f"The stack fails: {error}"))
    return None


async def _stop_at_end_of(descriptor: int, stop: asyncio.Event) -> None:
    stream = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(descriptor, "rb", closefd=False)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
    if await stream.read() != DETACH:
        stop.set()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    sys.exit(asyncio.run(main()))
