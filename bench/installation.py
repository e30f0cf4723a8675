"""A local stack for a benchmark, and further QPUs and workers beside it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from asyncio.subprocess import Process, create_subprocess_exec
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import psutil
from prefect.settings import PREFECT_API_URL, temporary_settings

from qpuflow.blocks import QpuBlock
from qpuflow.client.connection import Connection, connect
from qpuflow.deployments.bring_up import add_qpu
from qpuflow.deployments.stack.control import running_stack
from qpuflow.deployments.stack.home import prefect_home
from qpuflow.deployments.stack.parts import WORKER
from qpuflow.deployments.stack.plan import WORKER_TYPE, Plan, environment
from qpuflow.domain.endpoints import find_endpoints
from qpuflow.domain.request import JobRequest, Program
from qpuflow.domain.settings import Settings

BELL = Program(
    name="bell",
    source='OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2]; '
    "h q[0]; cx q[0], q[1]; measure q -> c;",
)
SLOW = Program(
    name="slow",
    source="\n".join(
        [
            'OPENQASM 3.0; include "stdgates.inc"; qubit[14] q; bit[14] c;',
            *(f"h q[{i}]; t q[{i}];" for i in range(14)),
            "c[0] = measure q[0];",
            "if (c[0]) { x q[1]; }",
            *(f"cx q[{i}], q[{i + 1}]; rx(0.3) q[{i}];" for i in range(13)),
            "c = measure q;",
        ]
    ),
)
"""About a millisecond for each shot."""


@dataclass(frozen=True)
class Installation:
    """The running stack, and a connection to it."""

    settings: Settings
    connection: Connection

    @property
    def prefect_api(self) -> str:
        return find_endpoints(self.settings).prefect_api_url

    def acting_as(self, user: str, *, operator: bool = False) -> Settings:
        return self.settings.model_copy(update={"user": user, "operator": operator})

    async def add_qpu(self, name: str, block: QpuBlock) -> None:
        """Saved, registered, with its pool; nobody works for it yet."""
        with temporary_settings({PREFECT_API_URL: self.prefect_api}):
            await block.asave(name)  # pyright: ignore[reportGeneralTypeIssues]  typed as sync
        await add_qpu(self.settings, f"{block.get_block_type_slug()}/{name}")


@asynccontextmanager
async def installation(
    workers: tuple[str, ...] = ("aer",), prepare: Callable[[Settings], None] = lambda _: None
) -> AsyncGenerator[Installation]:
    """`prepare` sees the home before the stack does."""
    with tempfile.TemporaryDirectory(prefix="qpuflow-bench-") as home:
        # Whoever is killed is missed soon.
        settings = Settings(
            home=Path(home),
            port=0,
            workers=workers,
            user="bench",
            heartbeat_seconds=1.0,
            lost_after_seconds=10.0,
        )
        prepare(settings)
        async with (
            running_stack(settings, Plan(worker_type=WORKER_TYPE)),
            connect(settings) as connection,
        ):
            yield Installation(settings, connection)


@asynccontextmanager
async def worker(
    installation: Installation, pool: str, kind: str = WORKER_TYPE, **more: str
) -> AsyncGenerator[Process]:
    """A worker as `prefect worker start` starts it; `more` is its environment."""
    settings = installation.settings
    known = {name: value for name, value in os.environ.items() if "QPUFLOW_" not in name}
    log = settings.root / "logs" / f"bench-{pool}.log"
    with log.open("ab") as output:
        process = await create_subprocess_exec(
            *(sys.executable, "-m", "prefect", "worker", "start"),
            *("--type", kind, "--pool", pool),
            env={
                **known,
                **environment(settings),
                **(WORKER if kind == WORKER_TYPE else {}),
                "PREFECT_HOME": str(prefect_home(settings)),
                "PREFECT_API_URL": installation.prefect_api,
                **more,
            },
            cwd=prefect_home(settings),
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it started, and they."""
    first = psutil.Process(pid)
    return [first, *first.children(recursive=True)]


def request(program: Program = BELL, shots: int = 1024, qpu: str = "aer") -> JobRequest:
    return JobRequest(programs=[program], shots=shots, qpu=qpu, key=uuid4().hex)


async def all_ended(connection: Connection, ids: list[UUID]) -> None:
    async for states in connection.watch(ids):
        failed = [job for job, state in states.items() if state.is_final and state != "completed"]
        assert not failed, f"{len(failed)} jobs came to no result"


async def run_one(connection: Connection, one: JobRequest) -> None:
    receipt = await connection.submit(one)
    await connection.wait(receipt.job_id)
