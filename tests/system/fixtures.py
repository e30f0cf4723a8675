"""One running stack for all tests that need a whole system."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator

import pytest

from tests.system.aftermath import STACK
from tests.system.installation import Installation

PATIENCE = {"QPUFLOW_HEARTBEAT_SECONDS": "1", "QPUFLOW_LOST_AFTER_SECONDS": "10"}
"""Shorter than in production, so that a killed carrier is missed soon."""


@pytest.fixture(scope="session")
async def stack(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> AsyncGenerator[Installation]:
    """PostgreSQL, a Prefect server and the workers, started and stopped by the command line."""
    home = tmp_path_factory.mktemp("system") / "home"
    installation = Installation(home, PATIENCE | {"QPUFLOW_USER": "alice"})
    started = await installation.run("up", "--detach", "--port", "0")
    assert started.code == 0, started
    pytestconfig.stash[STACK] = installation
    yield installation
    del pytestconfig.stash[STACK]
    stopped = await installation.run("down")
    assert stopped.code == 0, stopped
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A home in which nothing runs."""
    return Installation(tmp_path_factory.mktemp("nowhere") / "home")
