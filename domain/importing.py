"""The import of Qiskit, where a process does not do it itself."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager

_QISKIT = "qiskit"


@contextmanager
def collected_once() -> Generator[None]:
    """Around what imports Qiskit if it is not there yet.

    Python's collector would look through all that it is made of several times on the way, and once
    more, for a quarter of a second, in the middle of whatever comes minutes later. So it does that
    at the end, once: together that takes no longer than the import alone did.
    """
    if _QISKIT in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        if _QISKIT in sys.modules:
            gc.collect()
