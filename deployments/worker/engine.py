"""The engine: a warm process in which a QPU's flow runs execute, several at a time.

It keeps what they share (ledger, compilers, the driver's connections) from one run to the next.
Numerical work is done in processes of its own, so one event loop serves all seats.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker
from prefect.exceptions import Abort, Pause
from prefect.flow_engine import run_flow
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.logging.handlers import APILogWorker

from qpuflow.deployments.worker.messages import Answer, Order, Verb, line
from qpuflow.deployments.worker.modules import NUMERICAL
from qpuflow.domain.errors import QpuflowError, Unavailable
from qpuflow.domain.principal import service
from qpuflow.domain.settings import Settings
from qpuflow.drivers.fork_servers import prefork
from qpuflow.flows.outbox import create_runs
from qpuflow.flows.reap import take_back
from qpuflow.flows.resources import Resources, acting_as, keep_resources
from qpuflow.ledger import batches, jobs
from qpuflow.ledger.signals import Channel, within

CANCEL_SECONDS = 2.0
"""How long the QPU may take to end a cancelled job before its run is ended without it."""
DRAIN_SECONDS = 6.0
FLUSH_SECONDS = 3.0
LOOK_FOR_POST_SECONDS = 5.0
LOOK_SECONDS = 0.05
ENTRYPOINT_SECONDS = 30.0
"""How long a deployment is believed to have the same entrypoint."""

_log = logging.getLogger("prefect.qpuflow.engine")


def serve(socket_path: str, pool: str) -> None:
    """Work for the worker that listens there, until it hangs up; then end this process."""
    # Compiling and simulating in children of a copy of this process: no import ever again.
    prefork(NUMERICAL)
    code = 1
    try:
        asyncio.run(_serve(socket_path, pool))
        code = 0
    finally:
        # What Prefect's own threads have not sent yet: states of tasks, logs.
        EventsWorker.drain_all(timeout=FLUSH_SECONDS)
        APILogWorker.drain_all(timeout=FLUSH_SECONDS)
        # Nobody shall find this process again, or what its flows left in it.
        os._exit(code)


async def _serve(socket_path: str, pool: str) -> None:
    reader, writer = await asyncio.open_unix_connection(socket_path)
    async with keep_resources(Settings()) as shared:
        engine = Engine(shared, writer)
        engine.start(engine.post(pool))
        async for order in reader:
            engine.obey(Order.model_validate_json(order))
        await engine.stop()
        with contextlib.suppress(ConnectionError):
            await writer.drain()
    writer.close()


class Engine:
    def __init__(self, shared: Resources, writer: asyncio.StreamWriter) -> None:
        self._shared = shared
        self._writer = writer
        self._runs: dict[UUID, asyncio.Task[None]] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._flows: dict[UUID, tuple[float, Flow[..., Any]]] = {}

    def obey(self, order: Order) -> None:
        run_id = order.flow_run_id
        match order.verb:
            case Verb.RUN if run_id is not None:
                work = self._run(run_id, order.run_as)
                self._runs[run_id] = asyncio.create_task(work, name=str(run_id))
            case Verb.CANCEL if run_id is not None and run_id in self._runs:
                self.start(self._cancel(run_id))
            case Verb.TAKE_BACK:
                self.start(self._take_back())
            case Verb.RETIRE:
                self.start(self._retire())
            case _:
                _log.warning("Cannot obey %s", order)

    async def post(self, qpu: str) -> None:
        """Create the flow runs that the ledger decides on for the QPU, until others do."""
        with self._shared.ledger.ears.listen(Channel.OUTBOX, qpu) as news:
            while not self._shared.draining.is_set():
                try:
                    if await create_runs(self._shared.ledger, qpu):
                        self._writer.write(line(Answer()))
                    await within(news, LOOK_FOR_POST_SECONDS)
                except QpuflowError as error:
                    _log.warning("Flow runs not created yet: %s", error)
                    await asyncio.sleep(1.0)

    async def stop(self) -> None:
        """What is begun has a moment to end; the rest is left for others to take back."""
        self._shared.draining.set()
        if self._runs:
            await asyncio.wait(self._runs.values(), timeout=DRAIN_SECONDS)
        for work in (*self._runs.values(), *self._chores):
            work.cancel()
        await asyncio.gather(*self._runs.values(), *self._chores, return_exceptions=True)

    async def _retire(self) -> None:
        self._shared.draining.set()
        while self._runs:
            await asyncio.wait(self._runs.values())
        self._writer.close()

    def start(self, work: Awaitable[None]) -> None:
        """A chore beside the runs; it ends with the engine."""
        chore = asyncio.ensure_future(work)
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)

    async def _run(self, run_id: UUID, run_as: str | None) -> None:
        broke: str | None = "It was ended with its engine"
        try:
            with acting_as(run_as):
                await self._execute(run_id)
            broke = None
        except (Abort, Pause):
            # The server wants no more of this run: its state is right as it is.
            broke = None
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001  the run's own
            _log.exception("Flow run %s", run_id)
            broke = f"{type(error).__name__}: {error}"
        finally:
            self._runs.pop(run_id, None)
            self._shared.ending.discard(run_id)
            self._writer.write(line(Answer(flow_run_id=run_id, broke=broke)))

    async def _execute(self, run_id: UUID) -> None:
        async with get_client() as client:
            flow_run = await client.read_flow_run(run_id)
        if flow_run.deployment_id is None:
            raise ValueError(f"Flow run {run_id} has no deployment")
        flow = await self._flow(flow_run.deployment_id)
        if flow.isasync:
            await cast("Awaitable[Any]", run_flow(flow, flow_run=flow_run, return_type="state"))
        else:
            await asyncio.to_thread(run_flow, flow, flow_run=flow_run, return_type="state")

    async def _flow(self, deployment_id: UUID) -> Flow[..., Any]:
        known = self._flows.get(deployment_id)
        if known is not None and time.monotonic() - known[0] < ENTRYPOINT_SECONDS:
            return known[1]
        async with get_client() as client:
            deployment = await client.read_deployment(deployment_id)
        if deployment.entrypoint is None:
            raise ValueError(f"Deployment {deployment.name} has no entrypoint")
        flow: Flow[..., Any] = load_flow_from_entrypoint(deployment.entrypoint)
        self._flows[deployment_id] = time.monotonic(), flow
        return flow

    async def _cancel(self, run_id: UUID) -> None:
        """Have the QPU end what the run is at; then end the run.

        It begins nothing meanwhile: what it had not begun is another carrier's.
        """
        ledger, principal = self._shared.ledger, service("worker")
        self._shared.ending.add(run_id)
        try:
            async with ledger.begin() as session:
                current = await batches.begun_in_run(session, run_id)
                await jobs.request_cancel_all(session, principal, current)
            deadline = time.monotonic() + CANCEL_SECONDS
            while current and time.monotonic() < deadline:
                await asyncio.sleep(LOOK_SECONDS)
                async with ledger.begin() as session:
                    current = list(await jobs.asked_to_cancel(session, current))
        except Unavailable as error:
            _log.warning("Jobs of run %s not cancelled: %s", run_id, error)
        if (run := self._runs.get(run_id)) is not None:
            run.cancel()

    async def _take_back(self) -> None:
        try:
            await take_back(self._shared.ledger, self._shared.settings)
        except Unavailable as error:
            _log.warning("Nothing taken back, the reaper will: %s", error)
