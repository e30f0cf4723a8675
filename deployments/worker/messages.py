"""What a worker and its engine say to each other: one JSON object a line."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class Verb(StrEnum):
    RUN = "run"
    CANCEL = "cancel"
    """End the run, and the job that it is at, on the QPU too."""
    TAKE_BACK = "take_back"
    """A run ended badly: see to its jobs now rather than at the reaper's next round."""
    RETIRE = "retire"
    """Begin nothing more; exit when what is begun has ended."""


class Order(BaseModel):
    model_config = ConfigDict(frozen=True)

    verb: Verb
    flow_run_id: UUID | None = None
    run_as: str | None = None


class Answer(BaseModel):
    """A flow run has left the engine, and Prefect knows its state unless something `broke`.

    Without a flow run: there is one to claim.
    """

    model_config = ConfigDict(frozen=True)

    flow_run_id: UUID | None = None
    broke: str | None = None


def line(message: BaseModel) -> bytes:
    return message.model_dump_json().encode() + b"\n"
