"""What a submission meets: all that is asked before a job is written, in one round trip with the
payloads that it names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Boolean, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.principal import Principal
from qpuflow.ledger.controls import Acceptance
from qpuflow.ledger.payload_store import RECORDED


class KeyedJob(NamedTuple):
    """The job that a key stands for already."""

    id: UUID
    batch_id: UUID
    content_hash: str


@dataclass(frozen=True, slots=True)
class Preconditions:
    """`known` by key, `qpus` by name; a QPU that there is not is left out."""

    is_member: bool
    qpus: Mapping[str, Acceptance]
    known: Mapping[str, KeyedJob]

    def require_accepting(self, principal: Principal, qpu: str) -> None:
        """As `Acceptance.require`. One that there is not is refused by the database."""
        if (acceptance := self.qpus.get(qpu)) is not None:
            acceptance.require(principal, qpu)


ASK = """
    WITH {recorded} SELECT
        EXISTS (SELECT FROM members WHERE project = :project AND "user" = :user) AS is_member,
        (SELECT jsonb_object_agg(name, jsonb_build_array(control, control_reason, projects))
            FROM qpus WHERE name = ANY(:qpus)) AS qpus,
        (SELECT jsonb_object_agg(key, jsonb_build_array(id, batch_id, content_hash))
            FROM jobs WHERE "user" = :user AND key = ANY(:keys)) AS known
"""
_ASK = text(ASK.format(recorded=RECORDED)).columns(is_member=Boolean, qpus=JSONB, known=JSONB)


async def ask(
    session: AsyncSession,
    principal: Principal,
    qpus: Collection[str],
    keys: Collection[str],
    recorded: Mapping[str, Any],
) -> Preconditions:
    """Whether the principal may use these QPUs now, and which of their keys are taken.

    `recorded`: what `PayloadStore.to_record` gave.
    """
    values = {
        **recorded,
        "project": principal.project,
        "user": principal.user,
        "qpus": list(qpus),
        "keys": list(keys),
    }
    found = (await session.execute(_ASK, values)).one()
    return Preconditions(
        found.is_member,
        {name: Acceptance(*row) for name, row in (found.qpus or {}).items()},
        {
            key: KeyedJob(UUID(job_id), UUID(batch_id), content)
            for key, (job_id, batch_id, content) in (found.known or {}).items()
        },
    )
