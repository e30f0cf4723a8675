"""Loads the QPY file on standard input under limits and prints what is wrong with it.

Run as a process of its own by `qpuflow.domain.qpy_loading`, because a hostile file can abort it.
"""

from __future__ import annotations

import io
import re
import resource
import sys
import warnings

import psutil
from qiskit import qpy

from qpuflow.domain.source import MAX_BITS, TOO_MANY_BITS


def main() -> None:
    warnings.simplefilter("ignore")
    limit = psutil.Process().memory_info().vms + int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.write(problem_of(sys.stdin.buffer.read()))


def problem_of(data: bytes) -> str:
    """Empty when the file loads and its circuit can be looked at."""
    try:
        (circuit,) = qpy.load(io.BytesIO(data))
        _ = len(circuit.parameters), circuit.count_ops(), circuit.cregs
        too_large = circuit.num_qubits + circuit.num_clbits > MAX_BITS
        return TOO_MANY_BITS if too_large else ""
    except BaseException as error:  # noqa: BLE001 (a Rust panic is no Exception; the parent reports)
        return _reason(error)


def _reason(error: BaseException) -> str:
    """Qiskit's binary parser prints a coloured backtrace; its first line of substance."""
    words = re.sub(r"(\x1b|\\x1b)\[\d+m", "", str(error))
    found = re.search(r"Error: (?P<reason>.+?)(\\n|\n|$)", words)
    return found["reason"] if found else f"{type(error).__name__}: {words[:200]}"


if __name__ == "__main__":
    main()
