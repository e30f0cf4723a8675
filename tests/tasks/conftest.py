from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from qpuflow.deployments.stack import postgres
from qpuflow.drivers.forked import ForkedPool
from qpuflow.ledger.database import Ledger
from tests.ledger import databases
from tests.tasks.journalled import JournalledQpu
from tests.tasks.pipeline import Pipeline, register


@pytest.fixture(scope="session")
async def template(postgres_cluster: postgres.Cluster) -> AsyncGenerator[str]:
    async with databases.template(postgres_cluster, "tasks_migrated") as name:
        yield name


@pytest.fixture(scope="session")
def compilers() -> Generator[ForkedPool]:
    pool = ForkedPool(("qiskit.qasm3", "qiskit.qpy", "qiskit.transpiler"), size=2)
    yield pool
    pool.close()


@pytest.fixture
def qpu(tmp_path: Path) -> JournalledQpu:
    return JournalledQpu(tmp_path / "journal")


@pytest.fixture
async def ledger_url(postgres_cluster: postgres.Cluster, template: str) -> AsyncGenerator[str]:
    async with databases.copy_of(postgres_cluster, template) as url:
        yield url


@pytest.fixture
async def pipeline(
    ledger_url: str, tmp_path: Path, qpu: JournalledQpu, compilers: ForkedPool
) -> AsyncGenerator[Pipeline]:
    async with databases.opened(ledger_url, tmp_path / "payloads") as ledger:
        await register(ledger, qpu)
        yield Pipeline(ledger, qpu, compilers)


@pytest.fixture
def ledger(pipeline: Pipeline) -> Ledger:
    return pipeline.ledger
