"""The folder that holds everything a stack owns, and the lock that gives it to one stack."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from qpuflow.domain.endpoints import find_record
from qpuflow.domain.errors import Conflict, OperatorNeeded
from qpuflow.domain.settings import Settings

LARGEST_LOG = 50_000_000


def open_home(settings: Settings) -> None:
    """Make the folders, and find out now, not later, whether they can be written to."""
    try:
        settings.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (logs(settings), prefect_home(settings)):
            folder.mkdir(exist_ok=True)
        _write_something(settings.root / "writable")
    except OSError as cause:
        raise OperatorNeeded(
            f"{settings.root} cannot be written to: {cause.strerror}",
            remedy="Free space or mend its permissions, or set QPUFLOW_HOME to another folder.",
        ) from cause


def logs(settings: Settings) -> Path:
    return settings.root / "logs"


def prefect_home(settings: Settings) -> Path:
    return settings.root / "prefect"


def lock_home(settings: Settings) -> int:
    """A descriptor that holds the home until every process that has it is gone."""
    descriptor = os.open(settings.root / "stack.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as cause:
        os.close(descriptor)
        record = find_record(settings)
        pid = f" (pid {record.supervisor.pid})" if record else ""
        raise Conflict(
            f"A qpuflow stack already runs for {settings.root}{pid}",
            remedy="Use it, or stop it with `qpuflow down`.",
        ) from cause
    return descriptor


def is_locked(settings: Settings) -> bool:
    try:
        os.close(lock_home(settings))
    except Conflict:
        return True
    except FileNotFoundError:
        return False
    return False


def rotate(log: Path) -> None:
    """Keep the last log beside the new one. Writers append, so they go on in the emptied file."""
    if log.exists() and log.stat().st_size:
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)


def rotate_large(folder: Path) -> None:
    for log in folder.glob("*.log"):
        if log.stat().st_size > LARGEST_LOG:
            rotate(log)


def end_of(log: Path, lines: int = 20) -> str:
    try:
        content = log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(content.rstrip().split("\n")[-lines:])


def _write_something(file: Path) -> None:
    with file.open("wb") as stream:
        stream.write(bytes(4096))
        stream.flush()
        os.fsync(stream.fileno())
    file.unlink()
