from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from qpuflow.deployments.stack import postgres
from qpuflow.ledger.database import Ledger
from tests.ledger import databases
from tests.ledger.entities import register


@pytest.fixture(scope="session")
async def migrated(postgres_cluster: postgres.Cluster) -> AsyncGenerator[str]:
    async with databases.template(postgres_cluster, "ledger_migrated") as name:
        yield name


@pytest.fixture
async def ledger_url(postgres_cluster: postgres.Cluster, migrated: str) -> AsyncGenerator[str]:
    """A migrated database with nothing in it."""
    async with databases.copy_of(postgres_cluster, migrated) as url:
        yield url


@pytest.fixture
async def ledger(ledger_url: str, tmp_path: Path) -> AsyncGenerator[Ledger]:
    """A ledger that knows one QPU, `rack`, with one lane."""
    async with databases.opened(ledger_url, tmp_path / "payloads") as opened:
        await register(opened)
        yield opened
