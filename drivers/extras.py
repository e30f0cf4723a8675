"""SDKs are optional: what is not installed is said so, by the QPU that needs it and no other."""

from __future__ import annotations

from importlib.util import find_spec

from qpuflow.domain.errors import OperatorNeeded


def require(extra: str, *modules: str) -> None:
    """Raises `OperatorNeeded` unless all can be imported; none is."""
    for module in modules:
        try:
            missing = find_spec(module) is None
        except ModuleNotFoundError:
            missing = True
        if missing:
            raise OperatorNeeded(
                f"{module} is not installed", remedy=f"Run pip install 'qpuflow[{extra}]'."
            )
