"""The far side of `qpuflow.drivers.forked`: a process that imports once and forks on request.

It has one thread and does nothing but wait, fork and reap, so its forks are always safe, whatever
threads and event loops its parent runs. It ends with its parent, and its children end with it.
Linux only (pidfd, PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import pickle
import selectors
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HEADER = struct.Struct("!Q")
"""Before every pickle: its length in bytes."""
STATUS = struct.Struct("!i")
"""An exit code as `os.waitstatus_to_exitcode` gives it."""

_PR_SET_PDEATHSIG = 1


def main(control_fd: int, parent: int, preload: Sequence[str]) -> None:
    """Serve until the parent process ends or closes the control socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; parents decide
    for module in preload:
        with contextlib.suppress(ImportError):  # the call that needs it says what is missing
            importlib.import_module(module)
    gc.freeze()  # else collections in the children would touch, and so copy, what they share
    with socket.socket(fileno=control_fd) as control, selectors.DefaultSelector() as selector:
        _serve(control, selector, parent)


def _serve(control: socket.socket, selector: selectors.BaseSelector, parent: int) -> None:
    try:
        # The control socket may have been inherited by a fork of the parent: watch the process.
        selector.register(os.pidfd_open(parent), selectors.EVENT_READ)
    except ProcessLookupError:
        return
    if os.getppid() != parent:
        return
    selector.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if isinstance(key.data, _Exit):
                selector.unregister(key.fd)
                os.close(key.fd)
                key.data.tell()
            elif key.fileobj is not control or not _fork(control, selector):
                return


class _Exit:
    """A child's process id and where to tell its end."""

    def __init__(self, pid: int, status: socket.socket) -> None:
        self.pid = pid
        self.status = status

    def tell(self) -> None:
        _, status = os.waitpid(self.pid, 0)
        with self.status, contextlib.suppress(OSError):
            self.status.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))


def _fork(control: socket.socket, selector: selectors.BaseSelector) -> bool:
    """Fork for one request: a byte with two sockets, for the work and for the exit code."""
    request, fds, _, _ = socket.recv_fds(control, 1, 2)
    if not request:
        return False
    work, status = (socket.socket(fileno=fd) for fd in fds)
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        selector.close()
        control.close()
        status.close()
        _become_child(work, server)
    work.close()
    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, _Exit(pid, status))
    return True


def _become_child(work: socket.socket, server: int) -> None:
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == server:
            with contextlib.suppress(OSError):  # when memory runs out, children go first
                Path("/proc/self/oom_score_adj").write_text("500")
            _work(work)
            code = 0
    except (BrokenPipeError, ConnectionResetError, EOFError):
        code = 0  # nobody waits for the answer any more
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _work(work: socket.socket) -> None:
    work.sendall(HEADER.pack(os.getpid()))
    with work.makefile("rb") as requests:
        while header := requests.read(HEADER.size):
            answer = _answer(requests.read(*HEADER.unpack(header)))
            work.sendall(HEADER.pack(len(answer)) + answer)


def _answer(request: bytes) -> bytes:
    """A pickled pair: whether it went well, and the value or the exception."""
    try:
        function, args = pickle.loads(request)  # noqa: S301 - our own parent
        return pickle.dumps((True, function(*args)), protocol=5)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the parent raises it again
        return pickle.dumps((False, _portable(error)), protocol=5)


def _portable(error: BaseException) -> BaseException:
    error.add_note("".join(traceback.format_exception(error)).rstrip())
    error.__traceback__ = error.__cause__ = error.__context__ = None
    try:
        copy: Any = pickle.loads(pickle.dumps(error))  # noqa: S301 - just made
    except Exception:  # noqa: BLE001 - an exception may fail to pickle in any way
        return RuntimeError(f"{type(error).__name__}: {error}")
    return copy if type(copy) is type(error) else RuntimeError(f"{type(error).__name__}: {error}")
