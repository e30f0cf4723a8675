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
from collections.abc import Awaitable, Coroutine
from contextvars import copy_context
from typing import Any
from uuid import UUID

import uvloop
from prefect._flow_run_suspension import mark_flow_run_suspension_requested
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import AsyncClientContext, SyncClientContext
from prefect.exceptions import Abort, Pause
from prefect.filesystems import LocalFileSystem
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.logging.handlers import APILogWorker

from qpuflow.deployments.worker.messages import (
    LONGEST_LINE,
    MOST_LETTERS,
    Answer,
    News,
    Offer,
    Order,
    Verb,
    line,
)
from qpuflow.deployments.worker.modules import NUMERICAL
from qpuflow.deployments.worker.seated_run import run_seated
from qpuflow.deployments.worker.state_changes import LastChanges
from qpuflow.domain.errors import QpuflowError, Unavailable
from qpuflow.domain.principal import service
from qpuflow.domain.settings import Settings
from qpuflow.drivers.fork_servers import prefork
from qpuflow.flows.admitting import admit_run, welcome_back
from qpuflow.flows.claiming import Claims
from qpuflow.flows.missed import end_missed
from qpuflow.flows.outbox import is_ledgers, prefect_client, queued
from qpuflow.flows.reap import take_back
from qpuflow.flows.resources import Resources, acting_as, keep_resources
from qpuflow.flows.waiting_list import WaitingList
from qpuflow.flows.watching import Watcher
from qpuflow.ledger import batches, jobs
from qpuflow.ledger.signals import Channel, within

CANCEL_SECONDS = 2.0
"""How long the QPU may take to end a cancelled job before its run is ended without it."""
DRAIN_SECONDS = 6.0
FLUSH_SECONDS = 3.0
LOOK_FOR_WORK_SECONDS = 1.0
"""Bookings begin and end, and words may be missed."""
LOOK_SECONDS = 0.05
SHOW_WAITING_SECONDS = 0.5
"""A run that starts as soon as this was never seen to wait."""
SENT_SECONDS = 10.0
"""After which a run that the worker was told to start, and has not, loses its seat."""
ENTRYPOINT_SECONDS = 30.0
"""How long a deployment is believed to have the same entrypoint."""

_log = logging.getLogger("prefect.qpuflow.engine")


def _unexpected(error: Exception) -> Exception | None:
    return None if isinstance(error, QpuflowError) else error


def serve(socket_path: str, pool: str) -> None:
    """Work for the worker that listens there, until it hangs up; then end this process."""
    # Compiling and simulating in children of a copy of this process: no import ever again.
    prefork(NUMERICAL)
    code, changes = 1, LastChanges()
    changes.start()
    try:
        uvloop.run(_serve(socket_path, pool))
        code = 0
    finally:
        # What Prefect's own threads have not sent yet: states of tasks, logs.
        changes.drain(FLUSH_SECONDS)
        APILogWorker.drain_all(timeout=FLUSH_SECONDS)
        # Nobody shall find this process again, or what its flows left in it.
        os._exit(code)


async def _serve(socket_path: str, pool: str) -> None:
    reader, writer = await asyncio.open_unix_connection(socket_path, limit=LONGEST_LINE)
    # One client of each kind for all runs: making one takes longer than most requests.
    with SyncClientContext.get_or_create():
        async with AsyncClientContext.get_or_create(), keep_resources(Settings()) as shared:
            await _obey(shared, reader, writer, pool)
    writer.close()


async def _obey(
    shared: Resources, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pool: str
) -> None:
    engine = Engine(shared, writer, pool)
    engine.start(engine.fill_seats())
    engine.start(Watcher(shared, pool).run())
    async for order in reader:
        engine.obey(Order.model_validate_json(order))
    await engine.stop()
    with contextlib.suppress(ConnectionError):
        await writer.drain()


class Engine:
    def __init__(self, shared: Resources, writer: asyncio.StreamWriter, qpu: str) -> None:
        self._shared = shared
        self._qpu = qpu
        self._writer = writer
        self._runs: dict[UUID, asyncio.Task[None]] = {}
        self._chores: set[asyncio.Future[None]] = set()
        self._flows: dict[UUID, tuple[float, Flow[..., Any]]] = {}
        self._offer = Offer()
        self._claims = Claims(
            shared, qpu, begin=self._begin_own, send=self._send, again=self._seat_left
        )
        self._sent: dict[UUID, float] = {}
        """Runs that the worker was told to start, and when: they have a seat."""
        self._look = asyncio.Event()
        shared.seat_left = self._seat_left
        self._context = copy_context()

    def obey(self, order: Order) -> None:
        run_id = order.flow_run_id
        match order.verb:
            case Verb.RUN if run_id is not None:
                self._begin(run_id, self._ordered(run_id, order))
            case Verb.ADMIT if run_id is not None:
                self.start(self._admit(run_id, order.run_as))
            case Verb.OFFER:
                self._offer = order.offer
                self._look.set()
            case Verb.GONE if run_id is not None:
                self._forget(run_id)
            case Verb.CALL_OFF if run_id is not None:
                self._call_off(run_id)
            case Verb.CANCEL if run_id is not None and run_id in self._runs:
                self.start(self._cancel(run_id))
            case Verb.SUSPEND if run_id is not None:
                self.start(self._suspend(run_id))
            case Verb.TAKE_BACK:
                self.start(self._take_back())
            case Verb.RETIRE:
                self.start(self._retire())
            case _:
                _log.warning("Cannot obey %s", order)

    async def fill_seats(self) -> None:
        """Start what the ledger puts first on the QPU, until this engine is to end."""
        waiting_list = WaitingList(self._shared, self._qpu)
        with self._shared.ledger.ears.listen(Channel.OUTBOX, self._qpu) as self._look:
            while not self._shared.draining.is_set():
                try:
                    if not await self._fill():
                        if waiting_list.is_due:
                            await self._show(waiting_list)
                        await end_missed(self._shared.ledger, self._qpu)
                        await within(self._look, LOOK_FOR_WORK_SECONDS)
                except Exception as error:  # noqa: BLE001  else nothing would ever start again
                    _log.warning("Nothing started: %s", error, exc_info=_unexpected(error))
                    await asyncio.sleep(1.0)

    async def _show(self, waiting_list: WaitingList) -> None:
        self._claims.look_first()
        held, in_hand = self._offer.held, self._claims.in_hand
        await waiting_list.show(held, in_hand, is_open=self._offer.seats > 0)

    async def _fill(self) -> bool:
        if not self._offer.seats:
            return False
        now = time.monotonic()
        self._sent = {run: at for run, at in self._sent.items() if now - at < SENT_SECONDS}
        return await self._claims.fill(*self._seats(), self._offer.held)

    def _seats(self) -> tuple[int, frozenset[UUID]]:
        """How many are free, and the runs that have one."""
        seated = frozenset(self._runs.keys() | self._sent.keys())
        return self._offer.seats - len(seated - self._shared.idle), seated

    def _seat_left(self) -> None:
        """Who starts next inherits nothing of the run that leaves."""
        asyncio.get_running_loop().call_soon(self._go_on, context=self._context)

    def _go_on(self) -> None:
        if not self._claims.go_on(*self._seats()):
            self._look.set()

    def _begin_own(self, run: FlowRun) -> None:
        self._writer.write(line(Answer(news=News.BEGUN, flow_run_id=run.id)))
        self._begin(run.id, self._own(run))

    def _send(self, run_id: UUID) -> None:
        """Have the worker start it."""
        self._sent[run_id] = time.monotonic()
        self._writer.write(line(Answer(news=News.NEXT, flow_run_id=run_id)))

    def _forget(self, run_id: UUID) -> None:
        """It was to be next and is not there: its seat is free, and its job another run's."""
        if self._sent.pop(run_id, None) is not None:
            self._claims.refuse(run_id)
            self.start(self._take_back())
            self._look.set()

    def _call_off(self, run_id: UUID) -> None:
        """Somebody cancelled it while it waited: it is not begun or, if it was just now, ended."""
        self._claims.refuse(run_id)
        self._sent.pop(run_id, None)
        if run_id in self._runs:
            self.start(self._cancel(run_id))

    async def _admit(self, run_id: UUID, run_as: str | None) -> None:
        """Make a job of what somebody started in Prefect; the worker asks again if this fails."""
        try:
            async with prefect_client() as client:
                run = await client.read_flow_run(run_id)
            if await self._is_ready(run, run_as):
                self._writer.write(line(Answer(news=News.NEXT, flow_run_id=run_id)))
                return
            self._look.set()
            await self._show_waiting(run_id)
        except Unavailable as error:
            _log.warning("Flow run %s is not admitted yet: %s", run_id, error)

    async def _show_waiting(self, run_id: UUID) -> None:
        """Unless it has begun by then, was refused, or has ended already."""
        await asyncio.sleep(SHOW_WAITING_SECONDS)
        if self._has_seat(run_id):
            return
        async with prefect_client() as client:
            state = (await client.read_flow_run(run_id)).state
            if state is not None and state.is_scheduled() and not self._has_seat(run_id):
                await client.set_flow_run_state(run_id, queued())

    def _has_seat(self, run_id: UUID) -> bool:
        return run_id in self._runs or run_id in self._sent

    async def _is_ready(self, run: FlowRun, run_as: str | None) -> bool:
        """To be started at once; if not, it waits in the ledger's queue or was refused."""
        if is_ledgers(run):
            return await welcome_back(self._shared, run)
        return await admit_run(self._shared, self._qpu, run, run_as)

    def _begin(self, run_id: UUID, work: Coroutine[Any, Any, None]) -> None:
        self._sent.pop(run_id, None)
        self._runs[run_id] = asyncio.create_task(self._run(run_id, work), name=str(run_id))

    async def _own(self, flow_run: FlowRun) -> None:
        with acting_as(None, self._offer.rules):
            await self._execute(flow_run)

    async def _ordered(self, run_id: UUID, order: Order) -> None:
        async with get_client() as client:
            flow_run = await client.read_flow_run(run_id)
        if flow_run.state is not None and (
            flow_run.state.is_final() or flow_run.state.is_cancelling()
        ):
            # Since it was claimed. Prefect itself would let a cancelled run begin.
            raise Abort(f"It is {flow_run.state.name} already")
        with acting_as(order.run_as, order.rules):
            await self._execute(flow_run)

    async def stop(self) -> None:
        """What is begun has a moment to end; the rest is left for others to take back."""
        self._shared.draining.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended(), DRAIN_SECONDS)
        for work in (*self._runs.values(), *self._chores):
            work.cancel()
        await asyncio.gather(*self._runs.values(), *self._chores, return_exceptions=True)

    async def _retire(self) -> None:
        self._shared.draining.set()
        await self._ended()
        self._writer.close()

    async def _ended(self) -> None:
        """All that is begun, and what is just being claimed."""
        await self._claims.settled()
        while self._runs:
            await asyncio.wait(self._runs.values())

    def start(self, work: Awaitable[None]) -> None:
        """A chore beside the runs; it ends with the engine."""
        chore = asyncio.ensure_future(work)
        self._chores.add(chore)
        chore.add_done_callback(self._end_of)

    def _end_of(self, chore: asyncio.Future[None]) -> None:
        self._chores.discard(chore)
        if not chore.cancelled() and (error := chore.exception()) is not None:
            _log.error("A chore of the engine broke", exc_info=error)

    async def _run(self, run_id: UUID, work: Coroutine[Any, Any, None]) -> None:
        broke: str | None = "It was ended with its engine"
        try:
            await work
            broke = None
        except (Abort, Pause):
            # The server wants no more of this run: its state is right as it is.
            broke = None
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001  the run's own
            _log.exception("Flow run %s", run_id)
            broke = f"{type(error).__name__}: {error}"[:MOST_LETTERS]
        finally:
            self._runs.pop(run_id, None)
            self._shared.ending.discard(run_id)
            answer = Answer(news=News.ENDED, flow_run_id=run_id, broke=broke)
            self._writer.write(line(answer))
            self._seat_left()

    async def _execute(self, flow_run: FlowRun) -> None:
        if flow_run.deployment_id is None:
            raise ValueError(f"Flow run {flow_run.id} has no deployment")
        flow = await self._flow(flow_run.deployment_id)
        await run_seated(
            flow,
            flow_run,
            is_cancelled=lambda: flow_run.id in self._shared.ending,
            is_draining=self._shared.draining.is_set,
        )

    async def _flow(self, deployment_id: UUID) -> Flow[..., Any]:
        known = self._flows.get(deployment_id)
        if known is not None and time.monotonic() - known[0] < ENTRYPOINT_SECONDS:
            return known[1]
        async with get_client() as client:
            deployment = await client.read_deployment(deployment_id)
        if deployment.entrypoint is None:
            raise ValueError(f"Deployment {deployment.name} has no entrypoint")
        flow: Flow[..., Any] = load_flow_from_entrypoint(deployment.entrypoint)
        if flow.persist_result is False and flow.result_storage is None:
            # Else Prefect asks its server at each run for a place that nothing is put in.
            flow.result_storage = LocalFileSystem()
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
        finally:
            if (run := self._runs.get(run_id)) is not None:
                run.cancel()

    async def _suspend(self, run_id: UUID) -> None:
        """Unless it was resumed before we heard of it."""
        try:
            async with prefect_client() as client:
                state = (await client.read_flow_run(run_id)).state
        except Unavailable as error:
            _log.warning("Run %s is suspended at its next step: %s", run_id, error)
            return
        if state is not None and state.is_paused():
            mark_flow_run_suspension_requested(run_id, state)
            self._shared.suspend(run_id, state)

    async def _take_back(self) -> None:
        try:
            await take_back(self._shared.ledger, self._shared.settings)
        except Unavailable as error:
            _log.warning("Nothing taken back, the reaper will: %s", error)
