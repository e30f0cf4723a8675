"""Forgetting what is old enough: finished jobs, and the bytes that nothing names any more.

In small transactions, so that nobody waits for long; interrupted, it goes on the next time.
Charges stay: they are the accounts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Select,
    delete,
    exists,
    func,
    select,
    text,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.principal import Principal
from qpuflow.ledger.database import AT_LEISURE, Ledger
from qpuflow.ledger.payload_store import (
    COLLECT_AFTER_SECONDS,
    COLLECTING,
    age_seconds,
    filesystem_at,
    seconds_ago,
)
from qpuflow.ledger.schema import (
    Base,
    Batch,
    BatchState,
    Carrier,
    CarrierState,
    Executed,
    JobRow,
    Payload,
    ProgramRow,
    ResultRow,
    TelemetryRow,
    Transpilation,
)

CHUNK = 500


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many of each were deleted."""

    jobs: int
    batches: int
    transpilations: int
    payloads: int
    files: int


async def forget(ledger: Ledger, principal: Principal, older_than: timedelta) -> Forgotten:
    """Delete jobs that finished longer ago than that, with all that hangs on them but charges.

    Their keys are free again. Compiled programs go when no job uses them, bytes when nothing
    names them.
    """
    principal.require_operator("forget jobs")
    before = seconds_ago(older_than.total_seconds())
    return Forgotten(
        jobs=await _delete(ledger, JobRow, _old_jobs(before)),
        batches=await _delete(ledger, Batch, _empty_batches(before)),
        transpilations=await _delete(ledger, Transpilation, _unused_transpilations(before)),
        payloads=await _delete(ledger, Payload, _unnamed_payloads()),
        files=await _delete_files(ledger),
    )


async def forget_telemetry(ledger: Ledger, principal: Principal, older_than: timedelta) -> int:
    """Delete readings older than that; how many. Calibrations stay: they are few."""
    principal.require_operator("forget telemetry")
    before = seconds_ago(older_than.total_seconds())
    key = (TelemetryRow.qpu, TelemetryRow.channel, TelemetryRow.at)
    return await _delete(ledger, TelemetryRow, select(*key).where(TelemetryRow.at < before))


def _old_jobs(before: ColumnElement[Any]) -> Select[Any]:
    return select(JobRow.id).where(JobRow.finished_at < before)


def _empty_batches(before: ColumnElement[Any]) -> Select[Any]:
    current = [CarrierState.PENDING.value, CarrierState.LIVE.value]
    return select(Batch.id).where(
        Batch.state == BatchState.CLOSED.value,
        Batch.closed_at < before,
        ~exists().where(JobRow.batch_id == Batch.id),
        ~exists().where(Carrier.batch_id == Batch.id, Carrier.state.in_(current)),
    )


def _unused_transpilations(before: ColumnElement[Any]) -> Select[Any]:
    """A job that is on its way names what it was compiled to only with its result."""
    key = (
        Transpilation.program_hash,
        Transpilation.target_hash,
        Transpilation.options_hash,
        Transpilation.part,
    )
    return select(*key).where(
        Transpilation.created_at < before,
        ~exists().where(ProgramRow.source_hash == Transpilation.program_hash),
    )


def _unnamed_payloads() -> Select[Any]:
    return select(Payload.hash).where(
        Payload.created_at < seconds_ago(COLLECT_AFTER_SECONDS),
        ~exists().where(ProgramRow.source_hash == Payload.hash),
        *(
            ~exists().where(table.payload_hash == Payload.hash)
            for table in (Transpilation, Executed, ResultRow)
        ),
    )


async def _delete(ledger: Ledger, table: type[Base], chosen: Select[Any]) -> int:
    """Chunk by chunk; what somebody works with at the moment is left for the next time."""
    rows = Base.metadata.tables[table.__tablename__]
    key = tuple_(*rows.primary_key)
    chunk = chosen.limit(CHUNK).with_for_update(skip_locked=True, of=table)
    statement = delete(rows).where(key.in_(chunk))
    total = 0
    while True:
        async with ledger.begin() as session:
            await session.execute(text("SET LOCAL qpuflow.retention = 'on'"))
            result = cast("CursorResult[Any]", await session.execute(statement))
        total += result.rowcount
        if result.rowcount < CHUNK:
            return total


async def _delete_files(ledger: Ledger) -> int:
    """Files without a row: of payloads deleted above, and of writers that crashed."""
    files = await asyncio.to_thread(_old_files, ledger.payloads.url)
    total = 0
    for start in range(0, len(files), CHUNK):
        chunk = files[start : start + CHUNK]
        async with ledger.begin() as session:
            await session.execute(AT_LEISURE)
            # Not waiting for a backup: behind us everybody who names a file would wait too.
            if not await session.scalar(select(func.pg_try_advisory_xact_lock(COLLECTING))):
                return total
            unnamed = await _unnamed(session, chunk)
            total += await asyncio.to_thread(_remove_old, ledger.payloads.url, unnamed)
    return total


async def _unnamed(session: AsyncSession, files: Sequence[str]) -> list[str]:
    hashes = {file: file.rpartition("/")[2] for file in files}
    named = set(
        await session.scalars(
            select(Payload.hash).where(Payload.hash.in_(hashes.values()), Payload.url.is_not(None))
        )
    )
    return [file for file, key in hashes.items() if key not in named]


def _old_files(url: str) -> list[str]:
    filesystem, root = filesystem_at(url)
    if not filesystem.exists(root):
        return []
    files = cast("list[str]", filesystem.find(root))
    return [file for file in files if age_seconds(filesystem, file) > COLLECT_AFTER_SECONDS]


def _remove_old(url: str, files: Sequence[str]) -> int:
    """Looks at the age again: whoever keeps the same content has renewed the file."""
    filesystem, _ = filesystem_at(url)
    old = [file for file in files if age_seconds(filesystem, file) > COLLECT_AFTER_SECONDS]
    for file in old:
        filesystem.rm_file(file)
    return len(old)
