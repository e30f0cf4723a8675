"""A whole installation as its users see it: the command line, Prefect's HTTP API, the ledger."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import asyncpg
import httpx

from qpuflow.domain.endpoints import Endpoints, StackRecord, find_endpoints, find_record
from qpuflow.domain.settings import Settings

T = TypeVar("T")

COMMAND = "import sys; from qpuflow.deployments.cli import main; sys.argv[0] = 'qpuflow'; main()"
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self
        return json.loads(self.stdout)

    @property
    def message(self) -> str:
        """What a person reads on standard error, lines joined; never a traceback."""
        assert "Traceback" not in self.stderr + self.stdout, self.stderr
        return " ".join(self.stderr.split())


@dataclass(frozen=True)
class Installation:
    """Everything under one home. `environment` is that of all its commands."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def endpoints(self) -> Endpoints:
        return find_endpoints(Settings(home=self.home))

    @property
    def record(self) -> StackRecord:
        record = find_record(Settings(home=self.home))
        assert record, f"no stack runs for {self.home}"
        return record

    async def run(
        self,
        *arguments: object,
        cwd: Path | None = None,
        timeout_seconds: float = 120.0,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Answer:
        """`qpuflow ARGUMENTS...` in a process of its own."""
        return await self.python(
            COMMAND, *arguments, cwd=cwd, timeout_seconds=timeout_seconds, environment=environment
        )

    async def python(
        self,
        code: str,
        *arguments: object,
        cwd: Path | None = None,
        timeout_seconds: float = 120.0,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Answer:
        """A Python program in this installation's environment."""
        known = {name: value for name, value in os.environ.items() if "QPUFLOW_" not in name}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, *map(str, arguments)),
            env={**known, "QPUFLOW_HOME": str(self.home), **self.environment, **environment},
            cwd=cwd or self.home.parent,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(timeout_seconds):
                stdout, stderr = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        assert process.returncode is not None
        return Answer(process.returncode, stdout.decode(), stderr.decode())

    async def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """From the ledger."""
        connection = await asyncpg.connect(self.endpoints.ledger_url.get_secret_value())
        try:
            return [dict(row) for row in await connection.fetch(query, *values)]
        finally:
            await connection.close()

    async def value(self, query: str, *values: object) -> Any:
        (row,) = await self.rows(query, *values)
        (value,) = row.values()
        return value

    async def prefect(self, method: str, path: str, body: object = None) -> Any:
        """Prefect's HTTP API, as curl would use it."""
        url = self.endpoints.prefect_api_url
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            answer = await client.request(method, path, json=body)
            assert answer.is_success, f"{answer.status_code} {answer.text}"
            return answer.json() if answer.content else None

    async def start(self, deployment: str, parameters: object = None, **more: object) -> str:
        """A run of a deployment, by plain HTTP. Returns its id."""
        found = await self.prefect("GET", f"/deployments/name/{deployment}")
        body = {"parameters": parameters or {}, **more}
        run = await self.prefect("POST", f"/deployments/{found['id']}/create_flow_run", body)
        return run["id"]

    async def flow_run(self, run_id: str) -> dict[str, Any]:
        return await self.prefect("GET", f"/flow_runs/{run_id}")

    async def ended(self, run_id: str, timeout_seconds: float = 120.0) -> dict[str, Any]:
        """The flow run once it is in a final state."""

        async def final() -> dict[str, Any] | None:
            run = await self.flow_run(run_id)
            return run if run["state_type"] in FINAL else None

        return await eventually(final, f"run {run_id} does not end", timeout_seconds)

    async def artifacts(self, run_id: str) -> list[dict[str, Any]]:
        wanted = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
        return await self.prefect("POST", "/artifacts/filter", wanted)

    async def job_of(self, run_id: str) -> str:
        """The one job that the run carried."""
        return str(
            await self.value(
                "SELECT DISTINCT j.id FROM jobs j JOIN carriers c USING (batch_id) "
                "WHERE c.flow_run_id = $1",
                run_id,
            )
        )

    async def job(self, job_id: str) -> dict[str, Any]:
        (row,) = await self.rows("SELECT * FROM jobs WHERE id = $1", job_id)
        return row

    async def all_ended(self, job_ids: list[str], timeout_seconds: float = 120.0) -> None:
        async def done() -> bool:
            query = "SELECT count(*) FROM jobs WHERE id = ANY($1::uuid[]) AND finished_at IS NULL"
            return await self.value(query, job_ids) == 0

        await eventually(done, f"not ended: {job_ids}", timeout_seconds)

    async def reap(self) -> None:
        """What the schedule does every minute, now."""
        run = await self.ended(await self.start("reap/system"))
        assert run["state_type"] == "COMPLETED", run["state"]


async def eventually(
    condition: Callable[[], Awaitable[T | None]], what: str, timeout_seconds: float = 60.0
) -> T:
    """The condition's first true value. Parts that restart meanwhile are borne with."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_seconds
    last: object = None
    while loop.time() < deadline:
        try:
            if found := await condition():
                return found
        except (OSError, httpx.TransportError, asyncpg.PostgresError, asyncpg.InterfaceError) as e:
            last = e
        await asyncio.sleep(0.2)
    raise AssertionError(f"{what} within {timeout_seconds:g} s ({last})")
