"""The worker's side of an engine: start it, give it orders, notice its end."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from uuid import UUID

from qpuflow.deployments.worker.messages import (
    LONGEST_LINE,
    Answer,
    News,
    Offer,
    Order,
    Verb,
    line,
)
from qpuflow.domain.errors import Unavailable
from qpuflow.drivers.forked import ForkedPool

Ended = asyncio.Future[str | None]
"""Done when a flow run has left its engine: what broke, or None."""
DIED = "The engine died under it"
STOP_SECONDS = 10.0


class EngineLink:
    """One engine, forked from a server that has imported everything.

    When it dies, the runs in it are told so and the next run gets a new one.
    """

    def __init__(
        self,
        forks: ForkedPool,
        work_pool: str,
        began: Callable[[UUID, Ended], None],
        is_next: Callable[[UUID], None],
    ) -> None:
        self._forks = forks
        self._work_pool = work_pool
        self._began = began
        self._is_next = is_next
        self._offered = Offer()
        self._process: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[UUID, asyncio.Future[str | None]] = {}
        self._starting = asyncio.Lock()
        self.runs_begun = 0
        self._stopped = False

    @property
    def at_work(self) -> Collection[UUID]:
        """Flow runs that take a seat here."""
        return self._waiting.keys()

    async def start(self) -> None:
        """Make sure that an engine is there."""
        if self._stopped:
            raise Unavailable("The worker is stopping")
        async with self._starting:
            if self._process is None or self._process.done():
                await self._start()

    async def run(self, order: Order) -> str | None:
        """Execute the order's flow run. What broke, or None when Prefect knows its state."""
        assert order.flow_run_id is not None
        if (same := self._waiting.get(order.flow_run_id)) is not None:
            # Offered again while it waited for this engine: it is not to run twice.
            return await asyncio.shield(same)
        ended = self._await(order.flow_run_id)
        try:
            await self.start()
            self._send(order)
            return await ended
        finally:
            if not ended.done():
                ended.set_result(DIED)

    def has(self, flow_run_id: UUID | None) -> bool:
        return flow_run_id in self._waiting

    def _await(self, flow_run_id: UUID) -> Ended:
        ended: Ended = asyncio.get_running_loop().create_future()
        self._waiting[flow_run_id] = ended
        ended.add_done_callback(lambda _: self._waiting.pop(flow_run_id, None))
        self.runs_begun += 1
        return ended

    async def admit(self, flow_run_id: UUID, run_as: str | None) -> None:
        await self.start()
        self._send(Order(verb=Verb.ADMIT, flow_run_id=flow_run_id, run_as=run_as))

    def offer(self, offer: Offer) -> None:
        """What the engine may have, from now on."""
        is_new, self._offered = offer != self._offered, offer
        if is_new and self._process is not None and not self._process.done():
            self._send_offer()

    def _send_offer(self) -> None:
        self._send(Order(verb=Verb.OFFER, offer=self._offered))

    def gone(self, flow_run_id: UUID) -> None:
        """The run that was to be next is not there to be started."""
        if not self.has(flow_run_id):
            self._tell(Verb.GONE, flow_run_id)

    def call_off(self, flow_run_id: UUID) -> None:
        """It was cancelled while it waited, and must not begin."""
        self._tell(Verb.CALL_OFF, flow_run_id)

    def _tell(self, verb: Verb, flow_run_id: UUID) -> None:
        """An engine that is not there does not do it either."""
        if self._process is not None and not self._process.done():
            self._send(Order(verb=verb, flow_run_id=flow_run_id))

    def cancel(self, flow_run_id: UUID) -> bool:
        """False: the run is not here."""
        if not self.has(flow_run_id):
            return False
        self._send(Order(verb=Verb.CANCEL, flow_run_id=flow_run_id))
        return True

    def suspend(self, flow_run_id: UUID) -> None:
        if self.has(flow_run_id):
            self._send(Order(verb=Verb.SUSPEND, flow_run_id=flow_run_id))

    async def take_back(self) -> None:
        await self.start()
        self._send(Order(verb=Verb.TAKE_BACK))

    async def retire(self) -> None:
        """Have it end what it has begun, however long that takes; returns when it has gone."""
        self._stopped = True
        self._send(Order(verb=Verb.RETIRE))
        if self._process is not None:
            await self._process

    async def stop(self) -> None:
        """Hang up: the engine ends its runs, for others to take back, and exits."""
        self._stopped = True
        if self._writer is not None:
            # Half of the line only: what ends now is still answered.
            with contextlib.suppress(OSError, RuntimeError):
                self._writer.write_eof()
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process, timeout=STOP_SECONDS)

    async def _start(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="qpuflow-engine-"))
        connected: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
        connected = asyncio.get_running_loop().create_future()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connected.set_result((reader, writer))

        path = str(folder / "engine")
        server = await asyncio.start_unix_server(accept, path, limit=LONGEST_LINE)
        try:
            process = asyncio.create_task(self._forks.run(_serve, path, self._work_pool))
            await asyncio.wait([process, connected], return_when=asyncio.FIRST_COMPLETED)
            if process.done():
                await process
                raise Unavailable("The engine ended before it began", remedy="See its log.")
            reader, self._writer = connected.result()
            self._process = asyncio.create_task(self._attend(process, reader))
            self._send_offer()
        finally:
            server.close()
            shutil.rmtree(folder, ignore_errors=True)

    async def _attend(self, process: asyncio.Task[None], reader: asyncio.StreamReader) -> None:
        """Pass the engine's answers on until it ends, then answer for it."""
        try:
            async for answer in reader:
                self._answered(Answer.model_validate_json(answer))
            with contextlib.suppress(Unavailable):
                await process
        finally:
            for ended in list(self._waiting.values()):
                if not ended.done():
                    ended.set_result(DIED)

    def _answered(self, answer: Answer) -> None:
        if answer.news is News.BEGUN:
            self._began(answer.flow_run_id, self._await(answer.flow_run_id))
        elif answer.news is News.NEXT:
            self._is_next(answer.flow_run_id)
        elif (ended := self._waiting.get(answer.flow_run_id)) is not None and not ended.done():
            ended.set_result(answer.broke)

    def _send(self, order: Order) -> None:
        if self._writer is None:
            raise Unavailable("The engine is not running")
        self._writer.write(line(order))


def _serve(path: str, work_pool: str) -> None:
    """Runs in the engine's process, which has the module; the worker itself does without it."""
    from qpuflow.deployments.worker.engine import serve

    serve(path, work_pool)
