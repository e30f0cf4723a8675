"""What a worker and its engine say to each other: one JSON object a line."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from qpuflow.domain.steps import QpuRules
from qpuflow.ledger.claims import NOTHING, Held

LONGEST_LINE = 2**26
"""Bytes. An offer names every run that a paused queue holds back."""
MOST_LETTERS = 2_000
"""Of what is said about a run that broke: some exceptions repeat all their arguments."""


class Verb(StrEnum):
    RUN = "run"
    CANCEL = "cancel"
    """End the run, and the job that it is at, on the QPU too."""
    SUSPEND = "suspend"
    """Somebody suspended the run: it is to leave the engine, whatever it waits for."""
    TAKE_BACK = "take_back"
    """A run ended badly: see to its jobs now rather than at the reaper's next round."""
    ADMIT = "admit"
    """A run that somebody started in Prefect: to become a job, and wait for its turn."""
    OFFER = "offer"
    """Flow runs that the engine may have at once; it starts the ledger's own by itself."""
    GONE = "gone"
    """The run that was next cannot be started: cancelled, deleted, or another worker's."""
    CALL_OFF = "call_off"
    """The run was cancelled before it began, as far as the worker knows."""
    RETIRE = "retire"
    """Begin nothing more; exit when what is begun has ended."""


class Offer(BaseModel):
    """Seats for flow runs, by which rules the ledger's own run, and what Prefect holds back."""

    model_config = ConfigDict(frozen=True)

    seats: int = 0
    rules: QpuRules = QpuRules()
    held: Held = NOTHING


class Order(BaseModel):
    model_config = ConfigDict(frozen=True)

    verb: Verb
    flow_run_id: UUID | None = None
    run_as: str | None = None
    rules: QpuRules = QpuRules()
    offer: Offer = Offer()


class News(StrEnum):
    BEGUN = "begun"
    """The engine claimed a run and started it by itself."""
    NEXT = "next"
    """A run that was admitted is to be started now."""
    ENDED = "ended"
    """A run has left the engine, and Prefect knows its state unless something `broke`."""


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True)

    news: News
    flow_run_id: UUID
    broke: str | None = None


def line(message: BaseModel) -> bytes:
    return message.model_dump_json().encode() + b"\n"
