"""The QPUs of this installation and what they said about themselves last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.device import Control, Device, DeviceStatus
from qpuflow.domain.errors import NotFound
from qpuflow.domain.principal import Principal
from qpuflow.ledger.schema import JobRow, Qpu

_UNFINISHED = text("state NOT IN ('completed', 'failed', 'cancelled')")
"""In the words of the index of those; there are few among all jobs."""


@dataclass(frozen=True)
class RegisteredQpu:
    name: str
    block: str
    pool: str
    lanes: int
    device: Device
    status: DeviceStatus
    status_reason: str | None
    control: Control
    control_reason: str | None
    synced_at: datetime
    projects: tuple[str, ...] = ()
    """Only they may use it; empty: everybody."""

    @cached_property
    def target_hash(self) -> str:
        """As `Device.target_hash`, which takes milliseconds for a large device."""
        return self.device.target_hash


async def register(
    session: AsyncSession,
    principal: Principal,
    device: Device,
    *,
    block: str,
    pool: str,
    lanes: int,
    projects: Sequence[str] = (),
) -> None:
    """Add the QPU, or bring what is known of it up to date."""
    principal.require_operator("change what is known of a QPU")
    known = {
        "block": block,
        "pool": pool,
        "lanes": lanes,
        "projects": list(projects),
        "device": device.model_dump(mode="json"),
        "status": device.status.value,
        "status_reason": device.status_reason,
        "synced_at": func.now(),
    }
    await session.execute(
        insert(Qpu)
        .values(name=device.name, **known)
        .on_conflict_do_update(index_elements=["name"], set_=known)
    )


async def synced(session: AsyncSession, principal: Principal, device: Device) -> None:
    """What the QPU said just now."""
    principal.require_operator("change what is known of a QPU")
    await session.execute(
        update(Qpu)
        .where(Qpu.name == device.name)
        .values(
            device=device.model_dump(mode="json"),
            status=device.status.value,
            status_reason=device.status_reason,
            synced_at=func.now(),
        )
    )


async def find(session: AsyncSession, name: str) -> RegisteredQpu:
    row = await session.scalar(select(Qpu).where(Qpu.name == name))
    if row is None:
        names = ", ".join(await session.scalars(select(Qpu.name).order_by(Qpu.name)))
        raise NotFound(
            f"There is no QPU {name!r}", remedy=f"Known: {names or 'none'}. See `qpuflow qpus`."
        )
    return _value(row)


async def every(session: AsyncSession) -> list[RegisteredQpu]:
    return [_value(row) for row in await session.scalars(select(Qpu).order_by(Qpu.name))]


async def queue_lengths(session: AsyncSession) -> dict[str, int]:
    """How many unfinished jobs each QPU has."""
    rows = await session.execute(
        select(JobRow.qpu, func.count()).where(_UNFINISHED).group_by(JobRow.qpu)
    )
    return dict(rows.tuples().all())


def _value(row: Qpu) -> RegisteredQpu:
    return RegisteredQpu(
        row.name,
        row.block,
        row.pool,
        row.lanes,
        Device.model_validate(row.device),
        DeviceStatus(row.status),
        row.status_reason,
        Control(row.control),
        row.control_reason,
        row.synced_at,
        tuple(row.projects),
    )
