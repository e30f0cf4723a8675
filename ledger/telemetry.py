"""Readings of a QPU's instruments and of its cryostat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.principal import Principal
from qpuflow.ledger.schema import TelemetryRow

LATELY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Reading:
    """The unit ends the channel's name. No value: the sensor could not tell."""

    channel: str
    at: datetime
    value: float | None


async def record(
    session: AsyncSession, principal: Principal, qpu: str, values: Mapping[str, float | None]
) -> None:
    """As of now, by the database's clock."""
    principal.require_operator("record telemetry")
    if not values:
        return
    rows = [
        {"qpu": qpu, "channel": channel, "at": func.now(), "value": value}
        for channel, value in values.items()
    ]
    await session.execute(insert(TelemetryRow).values(rows).on_conflict_do_nothing())


async def latest(session: AsyncSession, qpu: str) -> list[Reading]:
    """The newest of each channel that has told anything lately."""
    newest = (
        select(TelemetryRow)
        .distinct(TelemetryRow.channel)
        .where(TelemetryRow.qpu == qpu, TelemetryRow.at > func.now() - LATELY)
        .order_by(TelemetryRow.channel, TelemetryRow.at.desc())
    )
    return await _read(session, newest)


async def history(session: AsyncSession, qpu: str, channel: str, limit: int) -> list[Reading]:
    """The newest first."""
    query = (
        select(TelemetryRow)
        .where(TelemetryRow.qpu == qpu, TelemetryRow.channel == channel)
        .order_by(TelemetryRow.at.desc())
        .limit(limit)
    )
    return await _read(session, query)


async def _read(session: AsyncSession, query: Select[tuple[TelemetryRow]]) -> list[Reading]:
    return [Reading(row.channel, row.at, row.value) for row in await session.scalars(query)]
