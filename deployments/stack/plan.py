"""What a stack is made of, as far as its caller decides."""

from __future__ import annotations

import json
from importlib.util import find_spec

from pydantic import BaseModel, ConfigDict, SecretStr, TypeAdapter

from qpuflow.domain.settings import Settings

SYSTEM_POOL = "system"
"""Where the flows run that belong to no QPU."""
WORKER_TYPE = "qpu"
"""Prefect's name for our worker; told here, where nothing of Prefect is imported."""

SHIPPED_RACK = "qblox-dummy"
"""The QPU behind the rack that the stack runs itself."""
RACK_MODULES = ("pynng", "qblox_instruments", "quantify_scheduler", "qiskit_aer")
"""What that rack takes: Aer simulates its chip."""


class Plan(BaseModel):
    """The part of a stack that its settings do not say."""

    model_config = ConfigDict(frozen=True)

    pools: tuple[str, ...] | None = None
    """Work pools; each gets one worker of the same name. None: `Settings.workers` and our own."""
    worker_type: str = "process"
    bring_up: str | None = "qpuflow.deployments.bring_up"
    """The module run once when the server answers: migrations, pools, blocks, deployments."""

    def workers(self, settings: Settings) -> tuple[str, ...]:
        if self.pools is not None:
            return self.pools
        return (*(name for name in settings.workers if _can_work(name)), SYSTEM_POOL)


def _can_work(name: str) -> bool:
    """The shipped rack is a QPU of those who installed the extra `qblox`."""
    return name != SHIPPED_RACK or all(find_spec(module) for module in RACK_MODULES)


FOREIGN = ("PREFECT_API_KEY", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH")
"""What a user's own shell may say about another Prefect than ours."""


def environment(settings: Settings) -> dict[str, str]:
    """The same settings for a process of ours, wherever it runs."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    values["home"] = settings.root
    return {
        f"QPUFLOW_{name.upper()}": _text(value)
        for name, value in values.items()
        if value is not None
    }


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    plain = TypeAdapter(object).dump_python(value, mode="json")
    return plain if isinstance(plain, str) else json.dumps(plain)
