"""An HTTP server in a thread of its own, whose connections can be broken on purpose."""

from __future__ import annotations

import asyncio
import socket
import threading
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

START_SECONDS = 30.0

_connections: weakref.WeakValueDictionary[tuple[str, int], asyncio.Transport] = (
    weakref.WeakValueDictionary()
)


class BreakableProtocol(H11Protocol):
    """Notes each connection by the client's address, which is what a request knows of it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  as uvicorn declares it
        _connections[transport.get_extra_info("peername")] = transport
        super().connection_made(transport)


def break_off(scope: Scope) -> None:
    """The client sees its connection reset, without a byte of an answer."""
    if (transport := _connections.get(tuple(scope["client"]))) is not None:
        transport.abort()


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that runs; `port` was free."""

    url: str
    port: int


@contextmanager
def serving(app: ASGIApp, port: int = 0) -> Generator[Serving]:
    """Serve until the end of the block."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        port = listener.getsockname()[1]
        server = uvicorn.Server(config_of(app))
        sockets: Any = [listener]
        thread = threading.Thread(
            target=server.run, args=(sockets,), name="fake-cloud", daemon=True
        )
        thread.start()
        _until_started(server, thread)
        try:
            yield Serving(f"http://127.0.0.1:{port}", port)
        finally:
            server.should_exit = True
            thread.join(START_SECONDS)


def config_of(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=BreakableProtocol,
        ws="websockets-sansio",
        lifespan="off",
        log_level="critical",
        access_log=False,
        date_header=False,  # endpoints tell the time of their cloud
        timeout_graceful_shutdown=1,
    )


def _until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    waited = threading.Event()
    for _ in range(int(START_SECONDS / 0.01)):
        if server.started or not thread.is_alive():
            break
        waited.wait(0.01)
    if not server.started:
        raise RuntimeError("The fake cloud did not start")
