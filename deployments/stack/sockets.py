"""Folders for Unix sockets: short, because their addresses must be and a home need not be."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from qpuflow.domain.errors import OperatorNeeded

LONGEST_PATH = 107
"""Bytes, the kernel's limit for the address of a Unix socket."""


def folder_for(owner: Path) -> Path:
    """Of whatever keeps its files in `owner`; the same in every process of a login."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    digest = hashlib.sha256(str(owner).encode()).hexdigest()[:12]
    return Path(base, f"qpuflow-{os.geteuid()}-{digest}")


def make_private(folder: Path, longest_name: str) -> None:
    """The name can be guessed and its parent may be shared: whoever made it first must be us."""
    if len(os.fsencode(folder / longest_name)) > LONGEST_PATH:
        raise OperatorNeeded(
            f"{folder} is too long a path for a socket", remedy="Set TMPDIR to a shorter folder."
        )
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    found = folder.lstat()
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != os.geteuid()
        or stat.S_IMODE(found.st_mode) & 0o077
    ):
        raise OperatorNeeded(
            f"{folder} was not made by qpuflow: it must be your own folder with mode 0700",
            remedy="Remove it.",
        )
