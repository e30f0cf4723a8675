"""Cores that do not sleep while something short is measured.

A round trip of a tenth of a millisecond wakes four threads; where their cores sleep, it takes
nearly twice as long. `rack_link` measures both.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

_SPIN = """
import os
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while True:
    pass
"""
"""Gives its core away to whatever else wants to run."""


@contextmanager
def awake() -> Generator[None]:
    cores = len(os.sched_getaffinity(0))
    spinning = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(cores)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()
