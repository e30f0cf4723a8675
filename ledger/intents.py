"""Intents and tickets: what was, or may have been, handed to a QPU."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, any_, bindparam, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.job import Job
from qpuflow.ledger.events import Besides
from qpuflow.ledger.schema import Intent, IntentState, JobRow, TicketRow


@dataclass(frozen=True, slots=True)
class Handover:
    """An attempt to hand a job over. Without a ticket its outcome is not known yet."""

    job_id: UUID
    token: str
    state: IntentState
    content_hash: str
    """Of what was handed over."""
    remote_id: str | None
    details: dict[str, Any]

    @property
    def has_ticket(self) -> bool:
        return self.remote_id is not None


def token_of(job: Job) -> str:
    """The idempotency handle of this attempt; short enough for every vendor's field."""
    return f"qpuflow-{job.id.hex}-{job.attempt}"


_KNOWN = (
    select(Intent, TicketRow)
    .outerjoin(TicketRow, TicketRow.token == Intent.token)
    .where(Intent.job_id == any_(bindparam("jobs", type_=ARRAY(Uuid))))
)
_SETTLED = (
    select(Intent.token)
    .join(JobRow, JobRow.id == Intent.job_id)
    .where(
        # One parameter, however many tokens: a statement has 32,767 of them at most.
        Intent.token == any_(bindparam("tokens", type_=ARRAY(Text))),
        or_(JobRow.finished_at.is_not(None), JobRow.attempt > Intent.attempt),
    )
)
INTENDED = """intended AS (
    INSERT INTO intents (token, job_id, attempt, content_hash, fencing_token, state)
    SELECT w.*, CAST(:fencing_token AS bigint), 'open' FROM unnest(
        CAST(:tokens AS text[]), CAST(:intended AS uuid[]), CAST(:attempts AS int[]),
        CAST(:hashes AS text[])
    ) AS w (token, job_id, attempt, content_hash) JOIN moved ON moved.id = w.job_id
)"""
"""With the move to RUNNING, of those that `moved`, with the values of `values_of`."""
_ACCEPTED = """ticket AS (
    SELECT * FROM jsonb_to_recordset(CAST(:tickets AS jsonb))
        AS t (token text, remote_id text, details jsonb)
), kept AS (
    INSERT INTO tickets (token, remote_id, details) SELECT * FROM ticket ON CONFLICT DO NOTHING
), accepted AS (
    UPDATE intents SET state = 'accepted' FROM ticket WHERE intents.token = ticket.token
)"""
_MARK = text("UPDATE intents SET state = :state WHERE token = ANY(:tokens)")


async def find(session: AsyncSession, jobs: Collection[Job]) -> dict[UUID, Handover]:
    """What the ledger knows of the jobs' current attempts."""
    current = {job.id: job.attempt for job in jobs}
    rows = await session.execute(_KNOWN, {"jobs": list(current)})
    return {
        intent.job_id: _value(intent, ticket)
        for intent, ticket in rows.tuples()
        if intent.attempt == current[intent.job_id]
    }


async def settled(session: AsyncSession, tokens: Collection[str]) -> list[str]:
    """Those of the tokens whose job has ended, or has gone on to another attempt."""
    return list(await session.scalars(_SETTLED, {"tokens": list(tokens)}))


def written(jobs: Sequence[Job], hashes: Sequence[str], fencing_token: int) -> Besides:
    """With the move to RUNNING, before the QPU is called.

    A second intent for one attempt is an integrity error.
    """
    return Besides(INTENDED, values_of(jobs, hashes, fencing_token))


def values_of(
    jobs: Sequence[Job], hashes: Sequence[str], fencing_token: int | None
) -> dict[str, Any]:
    return {
        "tokens": [token_of(job) for job in jobs],
        "intended": [job.id for job in jobs],
        "attempts": [job.attempt for job in jobs],
        "hashes": list(hashes),
        "fencing_token": fencing_token,
    }


def accepted(tickets: Sequence[Mapping[str, Any]]) -> Besides:
    """With the move to WAITING. `tickets` have the keys token, remote_id and details.

    Written once, kept for ever.
    """
    return Besides(_ACCEPTED, {"tickets": json.dumps(list(tickets))})


async def mark(session: AsyncSession, tokens: Collection[str], state: IntentState) -> None:
    if tokens:
        await session.execute(_MARK, {"tokens": list(tokens), "state": state.value})


def _value(intent: Intent, ticket: TicketRow | None) -> Handover:
    return Handover(
        intent.job_id,
        intent.token,
        IntentState(intent.state),
        intent.content_hash,
        ticket.remote_id if ticket else None,
        ticket.details if ticket else {},
    )
