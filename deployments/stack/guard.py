"""Starts the supervisor and outlives it: when it is gone, whatever it left is ended.

Run as a script, standard library only: ``python -I -S guard.py <lock> <record> <command>...``.
Orphans of every depth become children of the guard (or of the supervisor, which asks for the same
and stops everything when the guard is gone, as its end of the lifeline tells).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

PR_SET_CHILD_SUBREAPER = 36
LIFELINE = "QPUFLOW_LIFELINE"
PATIENCE_SECONDS = 3.0


def main(lock: str, record: str, *command: str) -> int:
    adopt_orphans()
    lifeline, ours = os.pipe()
    supervisor = subprocess.Popen(  # noqa: S603
        command, env={**os.environ, LIFELINE: str(lifeline)}, pass_fds=(int(lock), lifeline)
    )
    os.close(lifeline)

    def pass_on(number: int, frame: object) -> None:
        supervisor.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, pass_on)
    code = wait_for(supervisor.pid)
    if any(living()):
        sys.stderr.write("The supervisor is gone and left processes: ending them\n")
        sys.stderr.flush()
        end_everything()
    if os.path.exists(record):
        os.unlink(record)
    os.close(ours)
    return code if code >= 0 else 128 - code


def adopt_orphans() -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def wait_for(pid: int) -> int:
    """Reap every orphan that comes by until `pid` ends."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def end_everything() -> None:
    """Ask, then kill: children of those that die become ours, so look until none is left."""
    for pid, name, parent_name in living():
        if name != "postgres":
            send(pid, signal.SIGTERM)
        elif parent_name != "postgres":
            send(pid, signal.SIGINT)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(living()):
        reap()
        if time.monotonic() > deadline:
            for pid, _, _ in living():
                send(pid, signal.SIGKILL)
        time.sleep(0.02)
    reap()


def send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return


def living() -> Iterator[tuple[int, str, str]]:
    """Pid, name and parent's name of our descendants; zombies are left to `reap`."""
    table = dict(processes())
    ours = {os.getpid()}
    # A parent may have a higher pid than its child, so one pass is not enough.
    while more := {pid for pid, (_, parent, _) in table.items() if parent in ours} - ours:
        ours |= more
    for pid in ours - {os.getpid()}:
        name, parent, state = table[pid]
        if state != "Z":
            yield pid, name, table[parent][0]


def processes() -> Iterator[tuple[int, tuple[str, int, str]]]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    head, _, tail = file.read().rpartition(")")
            except (FileNotFoundError, ProcessLookupError):
                continue
            state, parent, *_ = tail.split()
            yield int(entry), (head.partition("(")[2], int(parent), state)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
