"""Pays for the imports of Prefect and qpuflow once, and forks every part that needs them.

``python -m qpuflow.deployments.stack.preload <module>...``

Run by the supervisor while the server starts. Reads one request a line from standard input,
answers each with the pid of a process that is then the supervisor's own child, and ends with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import runpy
import signal
import sys
import time
from collections.abc import Sequence
from importlib import import_module

from qpuflow.deployments.stack.request import Request

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15


def main() -> None:
    preload(sys.argv[1:])
    for line in sys.stdin:
        request = Request.model_validate_json(line)
        pid = fork_twice()
        if pid == 0:
            return become(request)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
    return None


def preload(modules: Sequence[str]) -> None:
    gc.disable()
    for module in modules:
        # Whoever needs a module that fails to import will say so himself, in his own log.
        with contextlib.suppress(ImportError):
            import_module(module)
    # What is imported stays, and stays shared: the collector would touch every page of it.
    gc.freeze()
    gc.enable()


def fork_twice() -> int:
    """The pid of the grandchild, whom the supervisor has adopted; 0 in the grandchild."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        os.waitpid(child, 0)
        with os.fdopen(reading) as answer:
            return int(answer.read())
    between = os.getpid()
    if grandchild := os.fork():
        os.write(writing, str(grandchild).encode())
        os._exit(0)
    os.close(writing)
    os.close(reading)
    while os.getppid() == between:
        time.sleep(0.001)
    return 0


def become(request: Request) -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    libc.prctl(PR_SET_NAME, request.name.encode())
    if os.getppid() != request.parent:
        sys.exit("The supervisor is gone")
    log = os.open(request.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, theirs in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(ours, theirs)
    sys.argv = [request.module, *request.arguments]
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
