"""What Prefect's server hears of an engine's task runs: of several changes in a moment the last.

Most steps take milliseconds. Each of their three states is an event, which the server parses four
times, looks at for automations and keeps: more than half of all events of a run. The last says when
the task run began, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from threading import Thread

from prefect.events.clients import EventsClient, get_events_client
from prefect.events.schemas.events import Event
from prefect.events.worker import EventsWorker, ProcessPoolForwardingEventsClient

PAUSE_SECONDS = 0.5
AGAIN_SECONDS = 2.0
TASK_RUN = "prefect.task-run."
_log = logging.getLogger("prefect.qpuflow.engine")


class LastChanges:
    """The events of this process, on their way to the server for half a second.

    In a thread of its own, as Prefect's: heartbeats are heard of also while runs keep the event
    loop busy.
    """

    def __init__(self) -> None:
        self._heard = SimpleQueue[Event]()
        self._loop, self._is_over = asyncio.new_event_loop(), asyncio.Event()
        self._thread = Thread(
            target=self._loop.run_until_complete, args=[self._send()], daemon=True
        )

    def start(self) -> None:
        EventsWorker.set_client_override(ProcessPoolForwardingEventsClient, event_queue=self)
        self._thread.start()

    def put(self, item: tuple[str, Event]) -> None:
        """As Prefect's client forwards them, in the thread of its own."""
        self._heard.put(item[1])

    def drain(self, timeout_seconds: float) -> None:
        """Send what is left, and no more."""
        EventsWorker.drain_all(timeout=timeout_seconds)
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join(timeout_seconds)

    async def _send(self) -> None:
        while not self._is_over.is_set():
            try:
                async with get_events_client() as client:
                    await self._send_by(client)
            except Exception as error:  # noqa: BLE001  the server may be restarting
                _log.info("Not connected for events: %r", error)
                await self._rest(AGAIN_SECONDS)

    async def _send_by(self, client: EventsClient) -> None:
        while True:
            await self._rest(PAUSE_SECONDS)
            is_last = self._is_over.is_set()
            for event in last_changes(self._taken()):
                try:
                    await client.emit(event)
                except Exception as error:  # noqa: BLE001  the client sends it when it is connected
                    _log.info("An event is sent later: %r", error)
            if is_last:
                return

    def _taken(self) -> Iterator[Event]:
        while not self._heard.empty():
            yield self._heard.get()

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_over.wait(), seconds)


def last_changes(events: Iterable[Event]) -> list[Event]:
    """Without changes of task runs that another one of these follows; it follows what they did."""
    kept = dict[object, Event]()
    for event in events:
        if not event.event.startswith(TASK_RUN):
            kept[event.id] = event
            continue
        earlier = kept.get(event.resource.id)
        if earlier is not None and event.follows == earlier.id:
            del kept[event.resource.id]
            event.follows = earlier.follows
        kept[event.resource.id] = event
    return list(kept.values())
