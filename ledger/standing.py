"""How a QPU stands at a moment: what the policy decides from, in one round trip."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.device import Control, DeviceStatus, stopped
from qpuflow.domain.policy import PolicyRules, Slot, Waiting
from qpuflow.domain.vendor_calendar import PREFIX


@dataclass(frozen=True, slots=True)
class Held:
    """A lane in use."""

    fencing_token: int
    carrier_id: UUID
    user: str
    project: str
    granted_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """A QPU at a moment, seen by a carrier that asks for a lane, or by nobody in particular."""

    now: datetime
    lanes: int
    lends: bool
    """Its driver can stop a job within the guard."""
    closed: str | None
    """Why nothing starts on it, if so."""
    held: tuple[Held, ...]
    slots: tuple[Slot, ...]
    asking: tuple[Waiting, ...]
    """Jobs that are ready, of the carrier that asks and of those that have been heard of."""
    usage: Mapping[str, float]
    """Recent QPU seconds: of whoever has a job above, and of the users that were asked about."""


# An ended lease counts from its end, also before `arbiter.get_ready` adds it to its user's sum.
_READ = text(
    """
    WITH clock AS (
        SELECT clock_timestamp() AS now
    ), asking AS (
        SELECT j.id, j.batch_id, j."user", j.project, j.number, j.estimate_seconds,
            j.not_before, j.start_by, j.moved_up_at IS NOT NULL
        FROM jobs j JOIN carriers c ON c.batch_id = j.batch_id AND c.state = 'live'
        WHERE j.qpu = :qpu AND j.asks_since IS NOT NULL AND j.state = 'preparing'
          AND (c.id = :carrier OR c.heartbeat_at > now() - make_interval(secs => :silence))
    ), users AS (
        SELECT "user" FROM asking UNION SELECT jsonb_array_elements_text(CAST(:users AS jsonb))
    ), used AS (
        SELECT "user",
            seconds * power(0.5, least(extract(epoch FROM clock.now - as_of) / :half_life, 900))
                AS seconds
        FROM clock, usages JOIN users USING ("user") WHERE qpu = :qpu
        UNION ALL
        SELECT "user", greatest(extract(epoch FROM released_at - granted_at), 0)
        FROM leases JOIN users USING ("user")
        WHERE qpu = :qpu AND released_at IS NOT NULL AND NOT counted
    )
    SELECT clock.now, q.lanes, q.control, q.control_reason, q.status, q.status_reason,
        coalesce(CAST(q.device ->> 'interruptible' AS boolean), true) AS lends,
        ARRAY(
            SELECT ROW(fencing_token, carrier_id, "user", project, granted_at, ends_at)
            FROM leases WHERE qpu = q.name AND released_at IS NULL
        ) AS held,
        ARRAY(
            SELECT ROW(starts_at, ends_at, project) FROM bookings
            WHERE qpu = q.name AND state = 'active' AND NOT starts_with(source, :foreign)
              AND ends_at > clock.now AND starts_at < clock.now + make_interval(secs => :horizon)
        ) AS slots,
        ARRAY(SELECT asking FROM asking) AS asking,
        ARRAY(SELECT ROW("user", CAST(sum(seconds) AS float)) FROM used GROUP BY "user") AS used
    FROM clock, qpus q WHERE q.name = :qpu
    """
)
SECONDS_PER_DAY = 86_400


async def read(
    session: AsyncSession,
    qpu: str,
    rules: PolicyRules,
    *,
    users: Collection[str] = (),
    carrier_id: UUID | None = None,
    silence_seconds: float = 0.0,
) -> Standing:
    """Carriers that were silent for so long do not ask any more, but for the one that is named."""
    values = {
        "qpu": qpu,
        "users": json.dumps(list(users)),
        "carrier": carrier_id,
        "silence": silence_seconds,
        "half_life": rules.usage_half_life_seconds,
        "horizon": rules.horizon_days * SECONDS_PER_DAY,
        "foreign": PREFIX,
    }
    row = (await session.execute(_READ, values)).one()
    return Standing(
        now=row.now,
        lanes=row.lanes,
        lends=row.lends,
        closed=_closed(qpu, row.control, row.control_reason, row.status, row.status_reason),
        held=tuple(Held(*one) for one in row.held),
        slots=tuple(Slot(*one) for one in row.slots),
        asking=tuple(Waiting(*one) for one in row.asking),
        usage=dict(tuple(one) for one in row.used),
    )


def _closed(
    qpu: str, control: str, control_reason: str | None, status: str, status_reason: str | None
) -> str | None:
    if not Control(control).starts:
        return stopped(qpu, Control(control), control_reason)
    if status != DeviceStatus.ONLINE.value:
        return f"{qpu} says it is {status}" + (f": {status_reason}" if status_reason else "")
    return None
