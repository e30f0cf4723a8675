"""What lies between a worker and a rack, and does to their messages whatever it likes.

It speaks NNG's own framing over ``ipc://``: a greeting of 8 bytes each way, then messages of a
type byte, a length and a payload.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

_HEADER = 9


class HostileLink:
    """Listens at `front`, hands on to `back`."""

    def __init__(self, front: Path, back: Path) -> None:
        self._front, self._back = front, back
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests_to_lose = 0
        self.replies_to_lose = 0
        self.requests_to_hold = 0
        self.doubles = False
        self._held: list[bytes] = []
        self._past: list[bytes] = []

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self._front)

    async def close(self) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Every connection, as a pulled cable does. They may come back."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def heal(self) -> None:
        self.requests_to_lose = self.replies_to_lose = self.requests_to_hold = 0
        self.doubles = False

    async def replay(self, newest: int) -> None:
        """Requests that came through long ago, and those that were held back, out of order."""
        late, self._held = [*self._held, *self._past[-newest:]], []
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_unix_connection(self._back)
            writer.write(_GREETING_OF_REQ)
            await reader.readexactly(8)
            for message in reversed(late):
                writer.write(message)
                await reader.readexactly(1)  # the beginning of some answer
                await asyncio.wait_for(reader.read(65536), 5)
            writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self._back)
        except OSError:  # nobody is there
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        requests = asyncio.create_task(self._requests(reader, far_writer))
        replies = asyncio.create_task(self._replies(far_reader, writer))
        try:
            await asyncio.wait([requests, replies], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in (requests, replies):
                part.cancel()
            await asyncio.gather(requests, replies, return_exceptions=True)
            for end in (writer, far_writer):
                end.transport.abort()
                self._writers.discard(end)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(8))
        while True:
            message = await _message(reader)
            self._past.append(message)
            if self.requests_to_lose:
                self.requests_to_lose -= 1
            elif self.requests_to_hold:
                self.requests_to_hold -= 1
                self._held.append(message)
            else:
                writer.write(message * 2 if self.doubles else message)

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(8))
        while True:
            message = await _message(reader)
            if self.replies_to_lose:
                self.replies_to_lose -= 1
            else:
                writer.write(message)


_GREETING_OF_REQ = b"\0SP\0" + (0x30).to_bytes(2, "big") + b"\0\0"


async def _message(reader: asyncio.StreamReader) -> bytes:
    header = await reader.readexactly(_HEADER)
    return header + await reader.readexactly(int.from_bytes(header[1:], "big"))
