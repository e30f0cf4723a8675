"""Where a rack's daemon really listens, for who has only its ``rack.toml``."""

from __future__ import annotations

import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qpuflow.domain.errors import Unavailable

FILE = "listens"


@contextmanager
def noted(directory: Path, addresses: Sequence[str]) -> Generator[None]:
    """While the daemon runs: one that was killed leaves its note to the next."""
    file = directory / FILE
    draft = directory / f".{FILE}"
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text("".join(f"{_absolute(one)}\n" for one in addresses))
    draft.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def addresses_of(directory: Path) -> tuple[str, ...]:
    """Empty where no daemon runs that has told."""
    try:
        return tuple((directory / FILE).read_text().splitlines())
    except FileNotFoundError:
        return ()


def require_listener(address: str) -> None:
    """`Unavailable` at once where nobody listens at this `ipc://` address."""
    path = address.removeprefix("ipc://")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError as error:
            raise Unavailable(
                f"No daemon of the rack listens at {path}: {error.strerror}",
                remedy="`qpuflow rack serve` starts it, and reads the files then.",
            ) from error


def _absolute(address: str) -> str:
    scheme, _, place = address.partition("://")
    return f"ipc://{Path(place).absolute()}" if scheme == "ipc" else address
