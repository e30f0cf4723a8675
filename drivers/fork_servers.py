"""The processes that children are forked from, one for each set of imported modules."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from qpuflow.domain.errors import Unavailable
from qpuflow.drivers import forkserver

_SERVE = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from qpuflow.drivers.forkserver import main
main(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
"""

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""For linear algebra in children, which are themselves what runs in parallel."""


class ForkServer:
    """One such process, started when first needed and again when it died."""

    def __init__(self, modules: Iterable[str]) -> None:
        self.modules = frozenset(modules)
        self.owner = os.getpid()
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._control: socket.socket | None = None

    def fork(self, work: socket.socket, status: socket.socket) -> None:
        """Have it fork a child that serves `work` and whose exit code arrives at `status`."""
        with self._lock:
            if self._control is None or not self._is_alive():
                self._stop()
                self._spawn()
            assert self._control is not None
            try:
                socket.send_fds(self._control, [b"f"], [work.fileno(), status.fileno()])
            except OSError as error:
                raise Unavailable("The fork server does not answer", remedy="Try again.") from error

    def become_forked(self) -> None:
        """Start it as a fork of this process, which has one thread and the modules imported."""
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            ours.close()
            with contextlib.suppress(BaseException):
                forkserver.main(theirs.detach(), parent, sorted(self.modules))
            os._exit(0)
        theirs.close()
        self._pid, self._control = pid, ours

    def stop(self) -> None:
        if self.owner == os.getpid():
            with self._lock:
                self._stop()

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        path = json.dumps([place or str(Path.cwd()) for place in sys.path])
        with theirs:
            here = (path, str(theirs.fileno()), str(os.getpid()))
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                [sys.executable, "-c", _SERVE, *here, *sorted(self.modules)],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **ONE_THREAD},
            )
        # Its pid is all we keep: Popen would warn of a process that outlives its object.
        process.returncode = 0
        self._pid, self._control = process.pid, ours

    def _is_alive(self) -> bool:
        if self._pid is None:
            return False
        try:
            return os.waitpid(self._pid, os.WNOHANG) == (0, 0)
        except ChildProcessError:
            return False

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._pid is not None and self._is_alive():
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        self._pid = None


_servers: list[ForkServer] = []


def server_with(modules: Iterable[str]) -> ForkServer:
    """This process's server that has the modules, and maybe more; a new one where there is none."""
    wanted = frozenset(modules)
    for server in _servers:
        if server.owner == os.getpid() and wanted <= server.modules:
            return server
    return _add(ForkServer(wanted))


def prefork(modules: Iterable[str]) -> None:
    """Make a server for the modules out of this process, while it has only one thread.

    What this process has imported costs the server nothing, neither time nor memory. Elsewhere
    the first child pays for a new interpreter. With several threads nothing happens: a fork
    would copy the locks of threads that it does not copy.
    """
    if threading.active_count() == 1:
        _add(ForkServer(modules)).become_forked()


def _add(server: ForkServer) -> ForkServer:
    _servers.append(server)
    atexit.register(server.stop)
    return server
