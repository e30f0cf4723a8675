"""The same job through Prefect's stock process worker, on the same server."""

from __future__ import annotations

import asyncio
import tempfile
import time

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.settings import PREFECT_API_URL, temporary_settings

from bench.figures import Figure, quantile
from bench.installation import Installation, request, worker
from qpuflow.blocks import AerQpu
from qpuflow.domain.errors import NotFound

RUNS = 4
POOL = "stock"


async def stock_worker(installation: Installation) -> list[Figure]:
    """From the creation of the flow run to the stored result; the first warms the disk's cache."""
    with temporary_settings({PREFECT_API_URL: installation.prefect_api}):
        async with get_client() as client:
            # Before the QPU is added, which leaves a pool as it is.
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        await installation.add_qpu(POOL, AerQpu(lanes=2))
        with tempfile.TemporaryDirectory(prefix="qpuflow-stock-") as folder:
            await _leave_code_where_it_is(folder)
            async with worker(installation, POOL, "process"):
                seconds = [await _run(installation) for _ in range(RUNS + 1)][1:]
    return [Figure("stock_worker_latency_p50_seconds", quantile(seconds, 0.5), "s")]


async def _leave_code_where_it_is(folder: str) -> None:
    """The flow is imported from what is installed. Prefect would copy the deployment's folder for
    every run, which here is a checkout with its environment, and takes a minute."""
    step = {"prefect.deployments.steps.set_working_directory": {"directory": folder}}
    async with get_client() as client:
        deployment = await client.read_deployment_by_name(f"run-circuits/{POOL}")
        await client.update_deployment(deployment.id, DeploymentUpdate(pull_steps=[step]))


async def _run(installation: Installation) -> float:
    one = request(qpu=POOL)
    began = time.perf_counter()
    async with get_client() as client:
        deployment = await client.read_deployment_by_name(f"run-circuits/{POOL}")
        await client.create_flow_run_from_deployment(
            deployment.id, parameters={"request": one.model_dump(mode="json")}
        )
    assert one.key is not None
    await _stored(installation, one.key)
    return time.perf_counter() - began


async def _stored(installation: Installation, key: str) -> None:
    """The run admits its job when it starts."""
    async with asyncio.timeout(120):
        while True:
            try:
                job_id = await installation.connection.find(key)
            except NotFound:
                await asyncio.sleep(0.05)
            else:
                await installation.connection.wait(job_id)
                return
