"""Drivers by name, from whatever packages are installed."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import cast

from qpuflow.domain.errors import NotFound, OperatorNeeded
from qpuflow.drivers.base import DriverFactory

GROUP = "qpuflow.drivers"


def driver_kinds() -> tuple[str, ...]:
    """The names that `load_factory` knows; nothing is imported to tell."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def load_factory(kind: str) -> DriverFactory:
    """Import one driver, and no other.

    `NotFound` when no installed package offers it, `OperatorNeeded` when the one that does
    cannot be imported or two packages offer the same name.
    """
    entry = _entry(kind)
    try:
        factory = entry.load()
    except Exception as error:
        # Whatever a third party's module raises is its own fault, and said to be so.
        raise OperatorNeeded(
            f"The driver {kind!r} cannot be loaded: {type(error).__name__}: {error}",
            where=_origin(entry),
            remedy=f"Reinstall the package or its SDK (pip install 'qpuflow[{kind}]' for ours).",
        ) from error
    if not callable(factory):
        raise OperatorNeeded(
            f"The driver {kind!r} is no callable but {factory!r}",
            where=_origin(entry),
            remedy="Its entry point must name a DriverFactory.",
        )
    return cast("DriverFactory", factory)


def _entry(kind: str) -> EntryPoint:
    # One package found along two paths (installed and linked) is still one.
    found = {entry.value: entry for entry in entry_points(group=GROUP, name=kind)}
    if not found:
        known = ", ".join(driver_kinds()) or "none"
        raise NotFound(
            f"No installed package has a driver {kind!r}",
            remedy=f"Known are: {known}. Install the package that brings it.",
        )
    if len(found) > 1:
        places = " and ".join(_origin(entry) for entry in found.values())
        raise OperatorNeeded(f"Two drivers are called {kind!r}", where=places)
    return next(iter(found.values()))


def _origin(entry: EntryPoint) -> str:
    package = f"{entry.dist.name} {entry.dist.version}, " if entry.dist else ""
    return f"{package}{entry.value}"
