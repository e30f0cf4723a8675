"""Qiskit's transpiler with its own stages only."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@contextmanager
def only_own_stages() -> Generator[None]:
    """Within the block no package beside Qiskit is asked for stages of the transpiler.

    Qiskit imports all that are installed whenever it builds a pass manager, wanted or not: of
    `qiskit-ibm-runtime` that is 70 MB and seconds in every process that compiles for an Aer.
    """
    import stevedore
    from qiskit.transpiler.preset_passmanagers import plugin

    class OwnStages(stevedore.ExtensionManager[Any]):
        def list_entry_points(self) -> list[EntryPoint]:
            every: list[Any] = super().list_entry_points()
            return [one for one in every if one.value.startswith("qiskit.")]

    everybody = plugin.stevedore
    plugin.stevedore = SimpleNamespace(ExtensionManager=OwnStages)
    try:
        yield
    finally:
        plugin.stevedore = everybody
