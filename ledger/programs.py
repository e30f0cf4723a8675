"""Programs as they were submitted, and as they were compiled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import astuple, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, text
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.errors import OperatorNeeded
from qpuflow.domain.pieces import Piece, piece_of
from qpuflow.domain.principal import Principal
from qpuflow.domain.request import Program, ProgramFormat
from qpuflow.ledger import jobs
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.payload_store import Stored
from qpuflow.ledger.schema import Executed, Payload, Transpilation


@dataclass(frozen=True, slots=True)
class StoredProgram:
    """A program of a job; `program_hash` is that of its source."""

    job_id: UUID
    position: int
    program_hash: str
    num_qubits: int
    program: Program
    unreadable: OperatorNeeded | None = None
    """Why its source cannot be read; in `program` it is empty then."""


@dataclass(frozen=True, slots=True)
class CacheKey:
    program_hash: str
    target_hash: str
    options_hash: str


@dataclass(frozen=True, slots=True)
class StoredPiece:
    """One compiled circuit of a program, and the hash of its QPY."""

    payload_hash: str
    piece: Piece


_OF_JOBS = text(
    """
    SELECT job_id, position, name, format, source_hash, parameters, observables, num_qubits,
        body, url
    FROM programs JOIN payloads ON hash = source_hash
    WHERE job_id = ANY(:jobs) ORDER BY job_id, position
    """
).columns(parameters=JSONB, observables=JSONB)


async def of_jobs(
    ledger: Ledger, session: AsyncSession, job_ids: Collection[UUID]
) -> dict[UUID, list[StoredProgram]]:
    """Each job's programs, in order; one that cannot be read says so itself."""
    rows = await session.execute(_OF_JOBS, {"jobs": list(job_ids)})
    programs: dict[UUID, list[StoredProgram]] = defaultdict(list)
    for row in rows:
        programs[row.job_id].append(await _value(ledger, row))
    return dict(programs)


_CACHED = text(
    """
    SELECT program_hash, target_hash, options_hash, payload_hash, about, body, url
    FROM unnest(
        CAST(:programs AS text[]), CAST(:targets AS text[]), CAST(:options AS text[])
    ) AS wanted (program_hash, target_hash, options_hash)
    JOIN transpilations USING (program_hash, target_hash, options_hash)
    JOIN payloads ON hash = payload_hash
    ORDER BY part
    """
).columns(about=JSONB)


async def cached(
    ledger: Ledger, session: AsyncSession, keys: Set[CacheKey]
) -> dict[CacheKey, tuple[StoredPiece, ...]]:
    """Those of the compiled programs that somebody compiled before, and that can be read."""
    wanted = {
        "programs": [key.program_hash for key in keys],
        "targets": [key.target_hash for key in keys],
        "options": [key.options_hash for key in keys],
    }
    rows = await session.execute(_CACHED, wanted)
    found: dict[CacheKey, tuple[StoredPiece, ...]] = {}
    unreadable: set[CacheKey] = set()
    for row in rows:
        key = CacheKey(row.program_hash, row.target_hash, row.options_hash)
        try:
            qpy = await ledger.payloads.content(row.payload_hash, row.body, row.url)
        except OperatorNeeded:
            unreadable.add(key)
        else:
            piece = StoredPiece(row.payload_hash, piece_of(qpy, row.about))
            found[key] = (*found.get(key, ()), piece)
    return {key: pieces for key, pieces in found.items() if key not in unreadable}


_EVER = text(
    """
    SELECT program_hash, target_hash, options_hash, array_agg(payload_hash ORDER BY part) AS hashes
    FROM unnest(CAST(:programs AS text[]), CAST(:options AS text[]))
        AS wanted (program_hash, options_hash)
    JOIN transpilations USING (program_hash, options_hash)
    GROUP BY program_hash, target_hash, options_hash ORDER BY max(created_at) DESC
    """
)


async def ever_compiled(
    session: AsyncSession, keys: Set[CacheKey]
) -> dict[CacheKey, tuple[str, ...]]:
    """The hashes of what the programs were compiled to, for whatever target; the newest first."""
    pairs = {(key.program_hash, key.options_hash) for key in keys}
    wanted = {"programs": [one for one, _ in pairs], "options": [one for _, one in pairs]}
    return {
        CacheKey(row.program_hash, row.target_hash, row.options_hash): tuple(row.hashes)
        for row in await session.execute(_EVER, wanted)
    }


async def remember(
    ledger: Ledger,
    session: AsyncSession,
    compiled: Mapping[CacheKey, Sequence[tuple[Stored, Piece]]],
) -> dict[CacheKey, tuple[StoredPiece, ...]]:
    """Put compiled programs into the cache; the first of two that race wins.

    Returns what the cache holds now: what the winner compiled, which both are to run. Without
    those of a winner whose circuits cannot be read.
    """
    await ledger.payloads.record(session, [s for parts in compiled.values() for s, _ in parts])
    rows = [
        {
            "program_hash": key.program_hash,
            "target_hash": key.target_hash,
            "options_hash": key.options_hash,
            "part": number,
            "payload_hash": stored.hash,
            "about": part.about(),
        }
        for key, parts in sorted(compiled.items(), key=lambda item: astuple(item[0]))
        for number, (stored, part) in enumerate(parts)
    ]
    if not rows:
        return {}
    # Sorted, so that two who compiled the same do not wait for each other.
    await session.execute(insert(Transpilation).values(rows).on_conflict_do_nothing())
    return await cached(ledger, session, compiled.keys())


async def executed(
    ledger: Ledger, session: AsyncSession, principal: Principal, job_id: UUID
) -> dict[int, list[bytes]]:
    """The compiled circuits that each program of a job really ran as, as QPY, by position."""
    await jobs.find(session, principal, job_id)
    rows = (
        await session.execute(
            select(Executed.position, Executed.payload_hash)
            .join(Payload, Payload.hash == Executed.payload_hash)
            .where(Executed.job_id == job_id)
            .order_by(Executed.position, Executed.part)
        )
    ).tuples()
    found = list(rows)
    bodies = await ledger.payloads.read(session, list({key for _, key in found}))
    circuits: dict[int, list[bytes]] = defaultdict(list)
    for position, key in found:
        circuits[position].append(bodies[key])
    return dict(circuits)


async def _value(ledger: Ledger, row: Row[Any]) -> StoredProgram:
    source, unreadable = "", None
    try:
        source = (await ledger.payloads.content(row.source_hash, row.body, row.url)).decode()
    except OperatorNeeded as error:
        unreadable = error
    program = Program.model_construct(
        name=row.name,
        format=ProgramFormat(row.format),
        source=source,
        parameters=row.parameters,
        observables=row.observables,
    )
    return StoredProgram(
        row.job_id, row.position, row.source_hash, row.num_qubits, program, unreadable
    )
