"""Execution that can be interrupted: warm child processes behind an async face.

    pool = ForkedPool(preload=["qiskit_aer"], size=2)
    counts = await pool.run(simulate, circuit)

Cancelling the awaiting task kills the one child that works for it and no other. A child that dies
by itself raises `Unavailable`. Every process ends with the one that made it, even on kill -9.

Neither multiprocessing's fork server nor a library on top of it will do: its children run the
caller's main script again (a notebook or script without a `__main__` guard would submit twice),
and a busy child keeps itself and its server alive after the parent was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import weakref
from collections.abc import Callable, Sequence
from typing import TypeVar, TypeVarTuple

from qpuflow.domain.errors import Unavailable
from qpuflow.drivers.fork_servers import ForkServer, server_with
from qpuflow.drivers.forkserver import HEADER, STATUS

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class ForkedPool:
    """At most `size` children (per event loop), forked when first needed and then kept.

    `preload` names the modules that every child finds imported. Importing happens once per
    process for the same modules, however many pools come and go. Functions and arguments are
    pickled: a function must be importable by name. May be used from any event loop and any thread.
    """

    def __init__(self, preload: Sequence[str] = (), size: int = 2) -> None:
        self._server = server_with(preload)
        self._size = size
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._slots: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            weakref.WeakKeyDictionary()
        )

    async def run(
        self,
        function: Callable[[*Ts], T],
        *args: *Ts,
        timeout_seconds: float | None = None,
        begun: Callable[[], None] = lambda: None,
    ) -> T:
        """Call it in a child. What it raises is raised here, its traceback as a note.

        Cancelling, or a `TimeoutError` after `timeout_seconds` (counted from when a child is
        free), kills the child. `begun` is called when a child has been found and its imports are
        done.
        """
        request = pickle.dumps((function, args), protocol=5)
        async with self._slot(), asyncio.timeout(timeout_seconds):
            child = await self._take()
            self._busy.add(child)
            begun()
            try:
                good, value = pickle.loads(await child.ask(request))  # noqa: S301 - our own child
            except BaseException:
                child.kill()
                child.close()
                raise
            finally:
                self._busy.discard(child)
            self._idle.append(child)
        if good:
            return value
        raise value

    async def warm(self) -> None:
        """Return when a child is ready, so that the next call does not pay for imports."""
        await self.run(os.getpid)

    def close(self) -> None:
        """Kill every child, busy or not. The next `run` starts afresh."""
        for child in [*self._busy]:
            child.kill()  # whoever waits for it closes it
        while self._idle:
            child = self._idle.pop()
            child.kill()
            child.close()

    def _slot(self) -> asyncio.Semaphore:
        return self._slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._size))

    async def _take(self) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if child.is_ours_and_alive():
                return child
            child.close()
        return await _Child.fork(self._server)


class _Child:
    """One forked process. Not shared: whoever took it from the pool has it alone."""

    def __init__(self, work: socket.socket, status: socket.socket) -> None:
        self._work = work
        self._status = status
        self._owner = os.getpid()
        self._pidfd: int | None = None

    @classmethod
    async def fork(cls, server: ForkServer) -> _Child:
        work, far_work = socket.socketpair()
        status, far_status = socket.socketpair()
        child = cls(work, status)
        work.settimeout(0)
        status.settimeout(0)
        try:
            with far_work, far_status:
                server.fork(far_work, far_status)
            (pid,) = HEADER.unpack(await child._read(HEADER.size))
            child._pidfd = os.pidfd_open(pid)
        except BaseException:
            child.close()
            raise
        return child

    async def ask(self, request: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self._work, HEADER.pack(len(request)) + request)
        except (BrokenPipeError, ConnectionResetError):
            raise await self._obituary() from None
        (size,) = HEADER.unpack(await self._read(HEADER.size))
        return await self._read(size)

    async def _read(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        data = bytearray(size)
        view = memoryview(data)
        while view:
            try:
                received = await loop.sock_recv_into(self._work, view)
            except ConnectionResetError:
                received = 0
            if not received:
                raise await self._obituary()
            view = view[received:]
        return bytes(data)

    async def _obituary(self) -> Unavailable:
        code = await asyncio.get_running_loop().sock_recv(self._status, STATUS.size)
        return Unavailable(f"The process that did the work {_end(code)}", remedy="Try again.")

    def is_ours_and_alive(self) -> bool:
        """Not a copy inherited through a fork of the parent, and not known to have ended."""
        if self._owner != os.getpid():
            return False
        try:
            self._work.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        return False  # readable while idle: it has ended

    def kill(self) -> None:
        if self._pidfd is not None and self._owner == os.getpid():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        self._work.close()
        self._status.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


def _end(status: bytes) -> str:
    if len(status) < STATUS.size:
        return "ended together with its server"
    (code,) = STATUS.unpack(status)
    if code == -signal.SIGKILL:
        return "was killed, by somebody or because memory ran out"
    if code < 0:
        return f"died of {signal.Signals(-code).name}"
    return f"exited with code {code}"
