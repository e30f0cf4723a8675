"""Jobs for a batch that is open, with nothing in their way: one statement, one round trip.

Where anything is in the way nothing is written but payloads, and nothing said: who then goes the
way of several statements hears there what it is. Without an open batch nothing is written at all,
so that an idle system waits for no disk twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.device import Control
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import Scope
from qpuflow.ledger.batches import JOIN, CarriedBy, joining
from qpuflow.ledger.new_jobs import INSERTED, Submission, inserting
from qpuflow.ledger.payload_store import RECORDED_IF
from qpuflow.ledger.reservations import ACCEPTED, LEFT_OUT, RESERVED, expecting

_TOO_LITTLE = "22012"
"""Division by zero: in SQL the only way to take back what the same statement has written."""

# PostgreSQL begins the parts of a WITH in the order in which they ask for each other. So each asks
# for the one before: payloads, batch, jobs and account book are locked in everybody's order.
_MAY = """may AS (
    SELECT FROM qpus q
    WHERE q.name = :qpu AND q.control = ANY(:accepting)
        AND (q.projects = '{}' OR :project = ANY(q.projects))
        AND EXISTS (SELECT FROM members WHERE project = :project AND "user" = :user)
        AND NOT EXISTS (SELECT FROM jobs WHERE "user" = :user AND key = ANY(:keys))
        AND EXISTS (
            SELECT FROM batches WHERE qpu = :qpu AND "user" = :user AND project = :project
                AND kind = 'shared' AND state <> 'closed')
)"""
_RECORDED = RECORDED_IF.format(condition=" AND EXISTS (SELECT FROM may)")
_JOINED = JOIN.format(
    condition="""AND EXISTS (SELECT FROM may) AND (SELECT count(*) FROM wanted)
        = (SELECT count(*) FROM fresh) + (SELECT count(*) FROM recorded)"""
)
_INSERTED = INSERTED.format(
    batch_id="(SELECT id FROM joined)", condition=" WHERE (SELECT accepts FROM joined)"
)
_RESERVED = RESERVED.format(condition="WHERE EXISTS (SELECT FROM new_jobs)")
_PARTS = ", ".join([_MAY, _RECORDED, f"joined AS ({_JOINED})", _INSERTED, _RESERVED, ACCEPTED])
_ANSWER = """
    SELECT id, 1 / CASE WHEN EXISTS ({left_out}) THEN 0 ELSE 1 END FROM joined WHERE accepts
"""
_WRITE = text(f"WITH {_PARTS} {_ANSWER.format(left_out=LEFT_OUT)}")
_ACCEPTING = [control.value for control in Control if control.accepts]


async def write(
    session: AsyncSession,
    principal: Principal,
    carried_by: CarriedBy,
    submissions: Mapping[UUID, Submission],
    recorded: Mapping[str, Any],
) -> UUID | None:
    """The batch in which the jobs are now, each under its id; None where something is in the way.

    `recorded`: what `PayloadStore.to_record` gave, without files. The session is one that looks,
    durably: the statement is a transaction of its own.
    """
    estimates = {job_id: one.estimate_seconds for job_id, one in submissions.items()}
    values = {
        **recorded,
        **joining(carried_by, len(submissions)),
        **inserting(principal, submissions, {}),
        **expecting(Scope(principal.project, carried_by.qpu), estimates),
        "accepting": _ACCEPTING,
        "keys": [one.key for one in submissions.values()],
        "actor": principal.user,
        "via": principal.via,
    }
    try:
        found = (await session.execute(_WRITE, values)).one_or_none()
    except IntegrityError:
        return None
    except DBAPIError as error:
        if str(getattr(error.orig, "sqlstate", None)) == _TOO_LITTLE:
            return None
        raise
    return None if found is None else found.id
