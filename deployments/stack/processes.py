"""How a program is started so that it never outlives us."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from qpuflow.deployments.stack import launch


def dying_with_us(
    command: Sequence[str], stop_signal: signal.Signals, *, as_user: bool = False
) -> list[str]:
    """The same command, sent `stop_signal` by the kernel when the process that starts it dies."""
    identity = "as-user" if as_user else "as-is"
    script = str(Path(launch.__file__))
    return [sys.executable, "-I", "-S", script, str(int(stop_signal)), identity, *command]
