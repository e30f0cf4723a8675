"""A work pool of its own with a real worker process, and flows that people might deploy in it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from qpuflow.deployments.worker.worker import QpuWorker
from tests.system.installation import Installation, eventually
from tests.system.own_worker import OwnWorker

FLOWS = Path(__file__).with_name("contract_flows.py")
STACK_WORKER = {
    "PREFECT_WORKER_QUERY_SECONDS": "5",
    "PREFECT_WORKER_PREFETCH_SECONDS": "0",
}
"""As `qpuflow up` sets them."""

_numbers = count(1)


@dataclass
class Site:
    """One work pool. `folder` holds the flows, their journals and the workers' logs."""

    stack: Installation
    folder: Path
    pool: str
    tags: tuple[str, ...] = ("qpuflow",)
    _deployed: dict[str, str] = field(default_factory=dict[str, str])

    async def create(self, **variables: object) -> None:
        shutil.copy(FLOWS, self.folder)
        form = {"name": self.pool, "type": QpuWorker.type, **_form(variables)}
        await self.stack.prefect("POST", "/work_pools/", form)

    async def change(self, **variables: object) -> None:
        """What the pool's form says, of all that it can."""
        await self.stack.prefect("PATCH", f"/work_pools/{self.pool}", _form(variables))

    async def deploy(self, flow: str) -> str:
        """The id of a deployment of the flow in this pool."""
        if flow not in self._deployed:
            owner = await self.stack.prefect("POST", "/flows/", {"name": flow})
            body = {
                "name": self.pool,
                "flow_id": owner["id"],
                "entrypoint": f"contract_flows:{flow}",
                "work_pool_name": self.pool,
                "enforce_parameter_schema": False,
                "tags": self.tags,
            }
            made = await self.stack.prefect("POST", "/deployments/", body)
            self._deployed[flow] = made["id"]
        return self._deployed[flow]

    async def start(self, flow: str, **parameters: object) -> Started:
        journal = self.folder / f"journal-{next(_numbers)}"
        body = {"parameters": {"journal": str(journal), **parameters}}
        deployment = await self.deploy(flow)
        run = await self.stack.prefect("POST", f"/deployments/{deployment}/create_flow_run", body)
        return Started(self.stack, run["id"], journal)

    @asynccontextmanager
    async def worker(
        self, name: str = "worker", first: str = "", **environment: str
    ) -> AsyncGenerator[Worker]:
        """`first`: Python that its process runs before."""
        own = OwnWorker(
            self.stack,
            ["worker", "start", "--type", QpuWorker.type, "--pool", self.pool, "--name", name],
            STACK_WORKER | {"PYTHONPATH": str(self.folder)} | environment,
            self.folder / f"{name}.log",
            first,
        )
        await own.start()
        try:
            # The first run waits for the imports of worker and engine.
            await (await self.start("completes")).ends("Completed", 120)
            yield Worker(own.process, own.log)
        finally:
            await own.stop()


def _form(variables: Mapping[str, object]) -> dict[str, Any]:
    template = QpuWorker.get_default_base_job_template()
    for name, value in variables.items():
        template["variables"]["properties"][name]["default"] = value
    return {"base_job_template": template}


@dataclass(frozen=True)
class Worker:
    process: asyncio.subprocess.Process
    log: Path

    def descendants(self) -> set[int]:
        """Its engines, their fork servers and children."""
        return {one.pid for one in psutil.Process(self.process.pid).children(recursive=True)}

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


class Go:
    """What some flows wait for: a file."""

    def __init__(self, path: Path) -> None:
        self.file = str(path)

    def __call__(self) -> None:
        Path(self.file).touch()


@dataclass(frozen=True)
class Started:
    """A flow run, and the lines that its flow wrote."""

    stack: Installation
    id: str
    journal: Path

    @property
    def lines(self) -> list[list[str]]:
        """Each with a monotonic time, the process, and what the flow noted."""
        if not self.journal.exists():
            return []
        return [line.split() for line in self.journal.read_text(encoding="utf-8").splitlines()]

    @property
    def pids(self) -> list[int]:
        return [int(line[1]) for line in self.lines]

    async def begun(self, times: int = 1) -> None:
        async def enough() -> bool:
            return len(self.lines) >= times

        await eventually(enough, f"not started {times} times", 60)

    async def state(self) -> dict[str, Any]:
        return (await self.stack.flow_run(self.id))["state"]

    async def becomes(self, name: str, timeout_seconds: float = 60.0) -> dict[str, Any]:
        async def there() -> dict[str, Any] | None:
            state = await self.state()
            return state if state["name"] == name else None

        return await eventually(there, f"it does not become {name}", timeout_seconds)

    async def ends(self, name: str, timeout_seconds: float = 60.0) -> dict[str, Any]:
        """Its final state, which is the one named."""
        state = (await self.stack.ended(self.id, timeout_seconds))["state"]
        assert state["name"] == name, state
        return state

    async def set_state(self, kind: str, **more: Any) -> None:
        body = {"state": {"type": kind, **more}}
        await self.stack.prefect("POST", f"/flow_runs/{self.id}/set_state", body)

    async def suspend(self) -> None:
        """As the button in Prefect's UI."""
        await self.set_state("PAUSED", name="Suspended", state_details={"pause_reschedule": True})

    async def resume(self) -> None:
        answer = await self.stack.prefect("POST", f"/flow_runs/{self.id}/resume")
        assert answer["status"] == "ACCEPT", answer
