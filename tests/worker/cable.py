"""The cable between a worker and Prefect's server, which somebody may pull."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

BLOCK_BYTES = 65536


class Cable:
    """Every connection to `port` is one to the other end, until it is pulled."""

    port: int

    def __init__(self, host: str, port: int) -> None:
        self._far_end = host, port
        self._lines: set[asyncio.StreamWriter] = set()
        self._is_pulled = False
        self.turned_away = 0
        """Connections that somebody tried to make while it was pulled."""

    def pull(self) -> None:
        self._is_pulled = True
        for line in self._lines:
            line.close()

    def plug_in(self) -> None:
        self._is_pulled = False

    @asynccontextmanager
    async def laid(self) -> AsyncGenerator[Cable]:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.pull()
            server.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_pulled:
            self.turned_away += 1
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection(*self._far_end)
        ends = {writer, far_writer}
        self._lines |= ends
        await asyncio.gather(_carry(reader, far_writer), _carry(far_reader, writer))
        self._lines -= ends


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while block := await reader.read(BLOCK_BYTES):
            writer.write(block)
            await writer.drain()
    writer.close()
