"""What a stack tells while it starts, runs and stops."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from qpuflow.domain import errors
from qpuflow.domain.errors import QpuflowError

STACK = "stack"
"""The name under which an event speaks of the stack as a whole."""

DETACH = b"detach"
"""Sent to the supervisor when it shall outlive whoever started it."""


class Phase(StrEnum):
    STARTING = "starting"
    READY = "ready"
    CRASHED = "crashed"
    """It ended by itself, or no longer answered; it is started again."""
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    """The stack gives up; `Event.failure` says why."""


class Failure(BaseModel):
    """A `QpuflowError` on its way to another process."""

    model_config = ConfigDict(frozen=True)

    kind: str
    what: str
    where: str | None = None
    remedy: str | None = None

    @classmethod
    def of(cls, error: QpuflowError) -> Failure:
        return cls(
            kind=type(error).__name__, what=error.what, where=error.where, remedy=error.remedy
        )

    def error(self) -> QpuflowError:
        kind: type[QpuflowError] = getattr(errors, self.kind, errors.OperatorNeeded)
        return kind(self.what, where=self.where, remedy=self.remedy)


class Event(BaseModel):
    model_config = ConfigDict(frozen=True)

    part: str
    phase: Phase
    message: str = ""
    failure: Failure | None = None

    def __str__(self) -> str:
        return f"{self.part} {self.phase.value}" + (f": {self.message}" if self.message else "")


Announce = Callable[[Event], None]
