"""Settings that there are not: nobody reads them, and nobody would say so."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from qpuflow.domain.settings import Settings

PREFIX = "QPUFLOW_"
OURS = frozenset({"STACK", "LIFELINE"})
"""Variables that the parts of a stack pass on, which are no settings."""


def misspelled(variables: Iterable[str], in_file: Iterable[str] = ()) -> dict[str, str | None]:
    """Names of environment variables, and of those in ``qpuflow.toml``, that no setting has; and
    which one was probably meant.
    """
    known = {name.upper(): name for name in Settings.model_fields}
    found: dict[str, str | None] = {}
    for variable in variables:
        name = variable.removeprefix(PREFIX).split("__")[0]
        if variable.startswith(PREFIX) and name not in known and name not in OURS:
            meant = _like(name, known)
            found[variable] = meant and PREFIX + meant
    for name in in_file:
        if name.upper() not in known:
            meant = _like(name.upper(), known)
            found[name] = meant and known[meant]
    return found


def _like(name: str, known: Iterable[str]) -> str | None:
    return next(iter(get_close_matches(name, list(known), n=1)), None)
