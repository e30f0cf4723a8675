"""Which process carries a batch, so that its death is noticed at once on its own machine."""

from __future__ import annotations

import os
import socket

from qpuflow.domain.endpoints import ProcessIdentity


def this_process() -> str:
    """Host, pid and birth: no later process has the same."""
    identity = ProcessIdentity.of(os.getpid())
    return f"{socket.gethostname()}:{os.getpid()}:{identity.birth if identity else 0}"


def is_gone(holder: str) -> bool:
    """Certainly dead. A holder on another machine is never said to be: its heartbeat tells."""
    host, _, process = holder.partition(":")
    pid, _, birth = process.partition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    identity = ProcessIdentity.of(int(pid))
    return identity is None or str(identity.birth) != birth
