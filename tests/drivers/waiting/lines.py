"""A real server on this machine that tells one job's status by HTTP and by websocket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from qpuflow.domain.errors import Unavailable
from qpuflow.drivers.base import RemoteState, RemoteStatus
from qpuflow.drivers.waiting import Opening

Play = Callable[[ServerConnection], "asyncio.Future[None] | asyncio.Task[None]"]


@dataclass
class Line:
    """`state` is the truth; `replies` are given first: a status code, or a word.

    `plays` are what the connections do, one after the other: words are sent, ``drop`` closes,
    ``hang`` says nothing until the client goes.
    """

    state: str = "queued"
    replies: deque[int | str] = field(default_factory=deque[int | str])
    plays: deque[tuple[str, ...]] = field(default_factory=deque[tuple[str, ...]])
    asked: int = 0
    tokens: list[str] = field(default_factory=list[str])
    hellos: list[str] = field(default_factory=list[str])
    uri: str = ""
    retry_after: str = "0.3"

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Upgrade"):
            self.tokens.append(request.headers.get("Authorization", ""))
            return None
        self.asked += 1
        reply = self.replies.popleft() if self.replies else self.state
        if isinstance(reply, str):
            return connection.respond(HTTPStatus.OK, reply)
        response = connection.respond(HTTPStatus(reply), "")
        if reply == HTTPStatus.TOO_MANY_REQUESTS:
            response.headers["Retry-After"] = self.retry_after
        return response

    async def talk(self, connection: ServerConnection) -> None:
        self.hellos.append(str(await connection.recv()))
        for word in self.plays.popleft() if self.plays else ("hang",):
            if word == "hang":
                await connection.wait_closed()
            elif word != "drop":
                await connection.send(word)

    async def ask(self) -> RemoteStatus | None:
        async with httpx.AsyncClient() as client:
            try:
                response = await client.get(f"http{self.uri.removeprefix('ws')}")
            except httpx.TransportError as error:
                raise Unavailable(f"No answer: {error!r}") from error
        if response.is_error:
            pause = response.headers.get("Retry-After")
            raise Unavailable(
                f"HTTP {response.status_code}", retry_after_seconds=float(pause) if pause else None
            )
        return read(response.text)

    async def open(self) -> Opening:
        return Opening(self.uri, "hello", {"Authorization": f"token-{len(self.tokens)}"})


def read(word: str | bytes) -> RemoteStatus | None:
    return RemoteStatus(RemoteState(str(word))) if word in list(RemoteState) else None


@asynccontextmanager
async def line(state: str = "queued") -> AsyncGenerator[Line]:
    told = Line(state)
    async with serve(told.talk, "127.0.0.1", 0, process_request=told.answer) as server:
        told.uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        yield told
