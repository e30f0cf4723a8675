"""Where bytes live: small ones in PostgreSQL, large ones at an fsspec URL."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.errors import OperatorNeeded, Unavailable
from qpuflow.ledger.schema import Payload

INLINE_BYTES = 1_000_000
FRESH_SECONDS = 1_800
"""Named or written so recently, a payload is as good as new: nobody collects it soon."""
COLLECT_AFTER_SECONDS = 2 * FRESH_SECONDS
"""Younger payloads are never collected, so a reference to one may be written at leisure."""
COLLECTING = 4_151_024
"""Advisory lock: shared by whoever names a file, exclusive while files are removed."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes that have a place: in `body`, or already written to `url`."""

    hash: str
    size_bytes: int
    media_type: str
    body: bytes | None = field(repr=False)
    url: str | None


def seconds_ago(seconds: float) -> ColumnElement[datetime]:
    return func.now() - text("make_interval(secs => :ago)").bindparams(ago=seconds)


# As text: SQLAlchemy takes longer to build it than PostgreSQL to execute it. What is fresh is only
# locked: until something names it in this transaction, it is not collected either. Sorted, so that
# two who record the same payloads do not wait for each other.
RECORDED_IF = """wanted AS (
    SELECT * FROM unnest(
        CAST(:hashes AS text[]), CAST(:sizes AS bigint[]), CAST(:types AS text[]),
        CAST(:bodies AS bytea[]), CAST(:urls AS text[])
    ) AS w (hash, size_bytes, media_type, body, url)
), fresh AS (
    SELECT hash FROM payloads WHERE hash = ANY(CAST(:hashes AS text[]))
        AND created_at > now() - make_interval(secs => :fresh)
    FOR KEY SHARE
), recorded AS (
    INSERT INTO payloads (hash, size_bytes, media_type, body, url)
    SELECT * FROM wanted WHERE hash NOT IN (SELECT hash FROM fresh){condition} ORDER BY hash
    ON CONFLICT (hash) DO UPDATE
        SET created_at = now(), body = excluded.body, url = excluded.url
    RETURNING hash
)"""
RECORDED = RECORDED_IF.format(condition="")
"""Part of the WITH of whoever names payloads, with the values of `PayloadStore.to_record`."""
ALONE = "WITH {recorded} SELECT"
_RECORD = text(ALONE.format(recorded=RECORDED))
_NOBODY_COLLECTS = text("SELECT pg_advisory_xact_lock_shared(:key)")


class PayloadStore:
    """Content-addressed bytes.

    `keep` comes before the transaction that names them, `record` inside it: whatever a row
    names exists, and what a crash leaves unnamed is collected.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    async def keep(self, content: bytes, media_type: str) -> Stored:
        """Raises `Unavailable` when a large one cannot be written now."""
        key = hashlib.sha256(content).hexdigest()
        if len(content) <= INLINE_BYTES:
            return Stored(key, len(content), media_type, content, None)
        url = f"{self.url}/{key[:2]}/{key}"
        try:
            await asyncio.to_thread(_write, url, content)
        except Exception as error:  # each file system has errors of its own
            raise Unavailable(
                f"{len(content):,} bytes cannot be kept: {error}",
                where=url,
                remedy="They are kept as soon as there is room, and the way to it, again.",
            ) from error
        return Stored(key, len(content), media_type, None, url)

    async def record(self, session: AsyncSession, payloads: Iterable[Stored]) -> None:
        """Raises `Unavailable` when a file was collected since `keep`, which then has to repeat."""
        await session.execute(_RECORD, await self.to_record(session, payloads))

    async def to_record(self, session: AsyncSession, payloads: Iterable[Stored]) -> dict[str, Any]:
        """The values for `RECORDED`. Raises as `record`."""
        rows = list({payload.hash: payload for payload in payloads}.values())
        await _require_files(session, [one.url for one in rows if one.url is not None])
        return {
            "hashes": [one.hash for one in rows],
            "sizes": [one.size_bytes for one in rows],
            "types": [one.media_type for one in rows],
            "bodies": [one.body for one in rows],
            "urls": [one.url for one in rows],
            "fresh": FRESH_SECONDS,
        }

    async def read(self, session: AsyncSession, keys: Sequence[str]) -> dict[str, bytes]:
        rows = await session.execute(
            select(Payload.hash, Payload.body, Payload.url).where(Payload.hash.in_(keys))
        )
        return {key: await self.content(key, body, url) for key, body, url in rows.tuples()}

    async def content(self, key: str, body: bytes | None, url: str | None) -> bytes:
        """The bytes of one row."""
        return body if body is not None else await self._fetch(key, cast("str", url))

    async def _fetch(self, key: str, url: str) -> bytes:
        try:
            content = await asyncio.to_thread(_read, url)
        except FileNotFoundError as error:
            raise OperatorNeeded(f"Payload {key} is gone", where=url) from error
        except Exception as error:  # each file system has errors of its own
            raise Unavailable(f"Payload {key} cannot be read now: {error}", where=url) from error
        if hashlib.sha256(content).hexdigest() != key:
            raise OperatorNeeded(f"Payload {key} is damaged", where=url, remedy="Restore it.")
        return content


async def _require_files(session: AsyncSession, urls: Sequence[str]) -> None:
    """From here to the end of the transaction no file is collected."""
    if not urls:
        return
    await session.execute(_NOBODY_COLLECTS, {"key": COLLECTING})
    for url in urls:
        if not await asyncio.to_thread(_exists, url):
            raise Unavailable("A payload was collected before it was named", where=url)


def filesystem_at(url: str) -> tuple[Any, str]:
    """And the path on it. Most who ask the ledger touch no large payload, so fsspec waits."""
    import fsspec  # pyright: ignore[reportMissingTypeStubs]  it ships none

    return fsspec.url_to_fs(url)


def _write(url: str, content: bytes) -> None:
    """Under another name first: a reader never sees half of it."""
    filesystem, path = filesystem_at(url)
    if filesystem.exists(path) and age_seconds(filesystem, path) < FRESH_SECONDS:
        return
    filesystem.makedirs(filesystem._parent(path), exist_ok=True)  # noqa: SLF001  fsspec's own idiom
    scratch = f"{path}.{uuid4().hex}.part"
    filesystem.pipe_file(scratch, content)
    filesystem.mv(scratch, path)


def _exists(url: str) -> bool:
    filesystem, path = filesystem_at(url)
    return bool(filesystem.exists(path))


def age_seconds(filesystem: Any, path: str) -> float:
    modified = cast("datetime", filesystem.modified(path))
    return (datetime.now(UTC) - modified.astimezone(UTC)).total_seconds()


def _read(url: str) -> bytes:
    filesystem, path = filesystem_at(url)
    return cast("bytes", filesystem.cat_file(path))
