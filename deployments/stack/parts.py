"""The parts of the stack, in the order in which they start."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy.engine import make_url

from qpuflow.deployments.stack import postgres, shipped_rack
from qpuflow.deployments.stack.home import logs, prefect_home
from qpuflow.deployments.stack.part import Part
from qpuflow.deployments.stack.plan import Plan, environment
from qpuflow.deployments.stack.ports import HOST
from qpuflow.deployments.stack.prefect_api import PrefectApi
from qpuflow.deployments.stack.processes import Preloader, Running, dying_with_us, spawn
from qpuflow.deployments.stack.request import Request
from qpuflow.deployments.worker.modules import PRELOAD
from qpuflow.domain.endpoints import Endpoints, endpoints
from qpuflow.domain.settings import Settings
from qpuflow.drivers.fork_servers import ONE_THREAD

LEDGER, PREFECT = "qpuflow", "prefect"
POSTGRES, SERVER, BRING_UP, RACK = "postgres", "prefect-server", "bring-up", "rack"

MARK = "QPUFLOW_STACK"
"""In the environment of every process of a stack: its home."""

PREFECT_COMMAND = "qpuflow.deployments.stack.prefect_command"
CONNECT_ARGS = "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS"
COMMAND = "qpuflow.deployments.cli"

WORKER_MODULES = (
    "prefect.cli.worker",
    "prefect.client.orchestration",
    "qpuflow.blocks",
    "qpuflow.deployments.worker",
    *PRELOAD,
)
WORKER = {
    # Events wake the worker; this is for the one that is missed.
    "PREFECT_WORKER_QUERY_SECONDS": "5",
    "PREFECT_WORKER_PREFETCH_SECONDS": "0",
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "10",
}
SERVICES = {
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    # Else each of the three states of each task run is a transaction of its own.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
}
"""Of Prefect's server: what a run costs it."""
QUIET = {**ONE_THREAD, "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


@dataclass(frozen=True)
class Addresses:
    """Where the parts find each other."""

    ledger: str
    prefect: str
    api: str

    @property
    def endpoints(self) -> Endpoints:
        return endpoints(SecretStr(self.ledger), self.api)


def cluster_of(settings: Settings) -> postgres.Cluster | None:
    """None: somebody else runs PostgreSQL."""
    return None if settings.database_url else postgres.Cluster(settings.root / "postgres")


def addresses(settings: Settings) -> Addresses:
    api = settings.prefect_api_url or f"http://{HOST}:{settings.port}/api"
    if cluster := cluster_of(settings):
        return Addresses(cluster.url(LEDGER), cluster.url(PREFECT), api.rstrip("/"))
    assert settings.database_url
    ledger = settings.database_url.get_secret_value()
    if settings.prefect_database_url:
        prefect = settings.prefect_database_url.get_secret_value()
    else:
        prefect = make_url(ledger).set(database=PREFECT).render_as_string(hide_password=False)
    return Addresses(ledger, prefect, api.rstrip("/"))


def preloader(plan: Plan, settings: Settings, where: Addresses) -> Preloader:
    modules = [plan.bring_up] if plan.bring_up else []
    modules += WORKER_MODULES if plan.workers(settings) else []
    return Preloader(modules, _environment(settings, where), logs(settings) / "preloader.log")


def parts(plan: Plan, settings: Settings, where: Addresses, preloaded: Preloader) -> list[Part]:
    api = PrefectApi(where.api)
    found: list[Part] = []
    if cluster := cluster_of(settings):
        found.append(_postgres(cluster))
    if not settings.prefect_api_url:
        found.append(_server(settings, where, api))
    if shipped_rack.runs_here(plan, settings):
        # Later than it could: until the preloader has its imports, asking it keeps others waiting.
        found.append(_rack(settings, preloaded, tuple(part.name for part in found)))
    if plan.bring_up:
        found.append(_bring_up(plan.bring_up, preloaded, tuple(part.name for part in found)))
    earlier = tuple(part.name for part in found)
    found.extend(_worker(plan, pool, api, preloaded, earlier) for pool in plan.workers(settings))
    return found


def _postgres(cluster: postgres.Cluster) -> Part:
    async def check(_: datetime) -> None:
        await postgres.check(cluster.url("postgres"))

    return Part(
        name=POSTGRES,
        start=lambda log: spawn(cluster.command(), {}, log),
        check=check,
        prepare=lambda: postgres.prepare(cluster),
        complete=lambda: postgres.create_databases(cluster, [LEDGER, PREFECT]),
        stop_signal=signal.SIGINT,
        stop_seconds=30.0,
    )


def _server(settings: Settings, where: Addresses, api: PrefectApi) -> Part:
    async def check(_: datetime) -> None:
        await api.check_server()

    command = [
        *(sys.executable, "-m", PREFECT_COMMAND, "server", "start"),
        *("--host", HOST, "--port", str(settings.port)),
    ]
    own = {
        **_environment(settings, where),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": _for_sqlalchemy(where.prefect),
        **SERVICES,
        "PREFECT_UI_API_URL": where.api,
    }
    is_embedded = cluster_of(settings) is not None
    if is_embedded:
        # Prefect has more statements than the 100 that a connection remembers by itself. Another
        # database may stand behind a pooler that bears none.
        own[f"{CONNECT_ARGS}_PREPARED_STATEMENT_CACHE_SIZE"] = "400"
    return Part(
        name=SERVER,
        needs=(POSTGRES,) if is_embedded else (),
        start=lambda log: spawn(dying_with_us(command, signal.SIGTERM), own, log),
        check=check,
    )


def _rack(settings: Settings, preloaded: Preloader, needs: tuple[str, ...]) -> Part:
    async def start(log: Path) -> Running:
        config = shipped_rack.prepare(settings)
        listen = shipped_rack.address(settings)
        arguments = ("rack", "serve", "--config", str(config), "--listen", listen)
        return await preloaded.start(_request(RACK, log, COMMAND, *arguments))

    return Part(
        name=RACK,
        needs=needs,
        start=start,
        check=lambda since: shipped_rack.check(settings, since),
        # Its files are there to be edited: a slip in one of them shall not take `aer` away.
        is_optional=True,
    )


def _bring_up(module: str, preloaded: Preloader, needs: tuple[str, ...]) -> Part:
    return Part(
        name=BRING_UP,
        needs=needs,
        start=lambda log: preloaded.start(_request(BRING_UP, log, module)),
        check=None,
        once=True,
        starts_to_fail=1,
    )


def _worker(
    plan: Plan, pool: str, api: PrefectApi, preloaded: Preloader, needs: tuple[str, ...]
) -> Part:
    async def check(since: datetime) -> None:
        await api.check_worker(pool, pool, since)

    name = f"worker-{pool}"
    arguments = (
        *("worker", "start", "--type", plan.worker_type),
        *("--pool", pool, "--name", pool),
    )
    return Part(
        name=name,
        needs=needs,
        start=lambda log: preloaded.start(_request(name, log, PREFECT_COMMAND, *arguments)),
        check=check,
    )


def _environment(settings: Settings, where: Addresses) -> dict[str, str]:
    return {
        **environment(settings),
        MARK: str(settings.root),
        **QUIET,
        **WORKER,
        "QPUFLOW_DATABASE_URL": where.ledger,
        "QPUFLOW_PREFECT_API_URL": where.api,
        "PREFECT_HOME": str(prefect_home(settings)),
        "PREFECT_API_URL": where.api,
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
    }


def _request(name: str, log: Path, module: str, *arguments: str) -> Request:
    return Request(name=name, parent=os.getpid(), log=str(log), module=module, arguments=arguments)


def _for_sqlalchemy(url: str) -> str:
    address = make_url(url).set(drivername="postgresql+asyncpg")
    return address.render_as_string(hide_password=False)
