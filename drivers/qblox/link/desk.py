"""A rack's end of the link: requests taken from NNG, and their replies given back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pynng

Answer = Callable[[bytes], bytes | Awaitable[bytes]]
"""To a request: at once, or an awaitable of it. It raises nothing."""
MOST_AT_ONCE = 256
"""Requests that a rack has before it at once; most of them wait for news of a job."""
LOOK_AGAIN_SECONDS = 0.001

_ffi: Any = pynng.ffi
_lib: Any = pynng.lib


class Desk:
    """Many requests at once, all of one event loop. To be made before the socket listens.

    It waits for NNG's own descriptor, as `sockets` does at the other end.
    """

    def __init__(self, socket: pynng.Rep0, answer: Answer) -> None:
        self._socket = socket
        self._descriptor = socket.recv_fd
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._idle: list[_Place] = []
        self._places: list[_Place] = []

    async def serve(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._loop.add_reader(self._descriptor, self._take)
                try:
                    await asyncio.Event().wait()
                finally:
                    self._loop.remove_reader(self._descriptor)
        finally:
            for place in self._places:
                place.close()

    def _take(self) -> None:
        """One request: the descriptor stays readable while there are more."""
        place = self._idle.pop() if self._idle else self._new_place()
        request = place.take()
        if request is None:
            self._idle.append(place)
        else:
            self._begin(place, self._answer(request))
        if not self._has_room:
            self._loop.remove_reader(self._descriptor)

    def _begin(self, place: _Place, answer: bytes | Awaitable[bytes]) -> None:
        """What is known is sent without a task, which would take a third of a round trip."""
        if isinstance(answer, bytes):
            self._send(place, answer)
        else:
            self._group.create_task(self._wait(place, answer))

    async def _wait(self, place: _Place, answer: Awaitable[bytes]) -> None:
        self._send(place, await answer)

    def _send(self, place: _Place, answer: bytes) -> None:
        place.send(answer)
        if place.is_sending:
            self._group.create_task(self._sent(place))
        else:
            self._leave(place)

    async def _sent(self, place: _Place) -> None:
        # Seldom: while another reply is on its way there. NNG tells an event loop of no end.
        while place.is_sending:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        self._leave(place)

    def _leave(self, place: _Place) -> None:
        place.end()
        if not self._has_room:
            self._loop.add_reader(self._descriptor, self._take)
        self._idle.append(place)

    @property
    def _has_room(self) -> bool:
        return bool(self._idle) or len(self._places) < MOST_AT_ONCE

    def _new_place(self) -> _Place:
        self._places.append(_Place(self._socket))
        return self._places[-1]


class _Place:
    """A context of NNG: it knows whom to answer.

    pynng's own words for it either block the event loop or come back through one of NNG's threads,
    which takes longer than the way over the wire. A raw socket needs no contexts, and hands each
    reply from thread to thread twice more.
    """

    def __init__(self, socket: pynng.Rep0) -> None:
        self._context = socket.new_context()
        place = _ffi.new("nng_aio **")
        pynng.check_err(_lib.nng_aio_alloc(place, _ffi.NULL, _ffi.NULL))
        self._sending = place[0]
        self._reply: Any = None

    def take(self) -> bytes | None:
        """Nothing where who asked has gone again."""
        place = _ffi.new("nng_msg **")
        flags = _lib.NNG_FLAG_NONBLOCK
        error = _lib.nng_ctx_recvmsg(self._context.context, place, flags)
        if error == _lib.NNG_EAGAIN:
            return None
        pynng.check_err(error)
        message = place[0]
        content = bytes(_ffi.buffer(_lib.nng_msg_body(message), _lib.nng_msg_len(message)))
        _lib.nng_msg_free(message)
        return content

    def send(self, reply: bytes) -> None:
        place = _ffi.new("nng_msg **")
        pynng.check_err(_lib.nng_msg_alloc(place, 0))
        self._reply = place[0]
        pynng.check_err(_lib.nng_msg_append(self._reply, reply, len(reply)))
        _lib.nng_aio_set_msg(self._sending, self._reply)
        _lib.nng_ctx_send(self._context.context, self._sending)

    @property
    def is_sending(self) -> bool:
        """Until NNG has passed it on, or who asked has gone."""
        return bool(_lib.nng_aio_busy(self._sending))

    def end(self) -> None:
        if _lib.nng_aio_result(self._sending):  # then it still is ours
            _lib.nng_msg_free(self._reply)

    def close(self) -> None:
        self._context.close()
        _lib.nng_aio_free(self._sending)
