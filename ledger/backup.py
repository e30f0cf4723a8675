"""One file with everything: both databases, the payload files, and a manifest to check them by.

Taken while the stack runs. Each database is dumped in one snapshot of its own; payload files are
written before they are named, so those copied after the ledger's dump are all that it names. What
the two databases disagree about is what the reaper sets right every minute anyway.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tarfile
import tempfile
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import func, select

from qpuflow.domain.errors import Conflict, InputError, OperatorNeeded, QpuflowError
from qpuflow.ledger import migrate, reconcile
from qpuflow.ledger.database import AT_LEISURE, HEAD, Ledger
from qpuflow.ledger.payload_store import COLLECTING, PayloadStore
from qpuflow.ledger.postgres_tools import dump, load
from qpuflow.ledger.schema import Payload

MANIFEST = "manifest.json"
LEDGER = "ledger.dump"
PREFECT = "prefect.dump"
PAYLOADS = "payloads/"
BLOCK = 1 << 20


class Member(BaseModel):
    """A file in the archive."""

    model_config = ConfigDict(frozen=True)

    name: str
    size: int
    sha256: str


class Manifest(BaseModel):
    """What an archive holds. `missing` are payloads whose files could not be read."""

    model_config = ConfigDict(frozen=True)

    format: Annotated[int, Field(ge=1, le=1)] = 1
    version: str
    revision: str
    created_at: datetime
    members: tuple[Member, ...]
    missing: tuple[str, ...] = ()


async def backup(ledger_url: str, prefect_url: str, payload_url: str, file: Path) -> Manifest:
    """Write the archive; `file` appears when it is complete, readable by its owner only."""
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}-") as scratch:
        folder = Path(scratch)
        async with _open(ledger_url, payload_url) as ledger, _nothing_collected(ledger):
            await dump(ledger_url, folder / LEDGER)
            await dump(prefect_url, folder / PREFECT)
            missing = await _copy_payloads(ledger, folder)
        manifest = Manifest(
            version=version("qpuflow"),
            revision=HEAD,
            created_at=datetime.now(UTC),
            members=tuple(await asyncio.to_thread(_members, folder)),
            missing=tuple(missing),
        )
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
        await asyncio.to_thread(_pack, folder, manifest, file)
    return manifest


async def restore(
    file: Path, ledger_url: str, prefect_url: str, payload_url: str, *, overwrite: bool = False
) -> Manifest:
    """Put the archive's content in place of what is there, and reconcile it with the world.

    Checks the whole archive before anything changes. Raises `Conflict` when the ledger has jobs
    (unless `overwrite`) or a carrier is at work. Interrupted, it is to be repeated.
    """
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}-") as scratch:
        folder = Path(scratch)
        manifest = await asyncio.to_thread(_unpack, file, folder)
        await migrate.upgrade(ledger_url)
        async with _open(ledger_url, payload_url) as ledger:
            await reconcile.require_replaceable(ledger, overwrite=overwrite)
            await _keep_payloads(ledger.payloads, folder, manifest)
        await load(prefect_url, folder / PREFECT)
        await migrate.downgrade(ledger_url, manifest.revision)
        await load(ledger_url, folder / LEDGER)
    await migrate.upgrade(ledger_url)
    async with _open(ledger_url, payload_url) as ledger:
        await reconcile.after_restore(ledger)
    return manifest


@asynccontextmanager
async def _open(ledger_url: str, payload_url: str) -> AsyncGenerator[Ledger]:
    ledger = await Ledger.open(ledger_url, payload_url)
    try:
        yield ledger
    finally:
        await ledger.close()


@asynccontextmanager
async def _nothing_collected(ledger: Ledger) -> AsyncGenerator[None]:
    """What the dump names must still be there when the files are copied."""
    async with ledger.begin() as session:
        await session.execute(AT_LEISURE)
        await session.execute(select(func.pg_advisory_xact_lock_shared(COLLECTING)))
        yield


async def _copy_payloads(ledger: Ledger, folder: Path) -> list[str]:
    async with ledger.begin() as session:
        keys = list(await session.scalars(select(Payload.hash).where(Payload.url.is_not(None))))
    (folder / PAYLOADS).mkdir()
    missing: list[str] = []
    for key in keys:
        try:
            async with ledger.begin() as session:
                content = (await ledger.payloads.read(session, [key]))[key]
        except OperatorNeeded:
            # One damaged result must not prevent every backup from now on.
            missing.append(key)
        else:
            await asyncio.to_thread((folder / PAYLOADS / key).write_bytes, content)
    return missing


async def _keep_payloads(store: PayloadStore, folder: Path, manifest: Manifest) -> None:
    for member in manifest.members:
        if member.name.startswith(PAYLOADS):
            content = await asyncio.to_thread((folder / member.name).read_bytes)
            await store.keep(content, "application/octet-stream")


def _members(folder: Path) -> Iterable[Member]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        Member(
            name=path.relative_to(folder).as_posix(),
            size=path.stat().st_size,
            sha256=_sha256(path),
        )
        for path in files
    ]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _pack(folder: Path, manifest: Manifest, file: Path) -> None:
    unfinished = folder / "archive"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        for name in (MANIFEST, *(member.name for member in manifest.members)):
            archive.add(folder / name, arcname=name)
        archive.close()
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.replace(file)


def _unpack(file: Path, folder: Path) -> Manifest:
    try:
        with tarfile.open(file, mode="r:") as archive:
            archive.extractall(folder, filter="data")
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{error.filename} does not exist", where=str(file)) from error
    except (tarfile.TarError, ValidationError) as error:
        raise InputError("This is no qpuflow backup, or it is damaged", where=str(file)) from error
    _check(folder, manifest, file)
    return manifest


def _check(folder: Path, manifest: Manifest, file: Path) -> None:
    known = {member.name for member in manifest.members}
    if not {LEDGER, PREFECT} <= known:
        raise _damaged(file, "a database is not in it")
    for member in manifest.members:
        path = folder / member.name
        if not path.is_file() or _sha256(path) != member.sha256:
            raise _damaged(file, f"{member.name} is not what the manifest says")
    if manifest.revision > HEAD:
        raise Conflict(
            f"The backup has schema revision {manifest.revision}, this qpuflow knows {HEAD}",
            where=str(file),
            remedy=f"Install qpuflow {manifest.version}.",
        )


def _damaged(file: Path, what: str) -> QpuflowError:
    return InputError(f"The backup is damaged: {what}", where=str(file), remedy="Use another one.")
