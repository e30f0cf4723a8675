from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from itertools import count
from pathlib import Path

import pytest

from tests.system.installation import Installation
from tests.worker.workers import Go, Site, Worker

_numbers = count(1)


@pytest.fixture(scope="module")
def new_site(stack: Installation, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Site]:
    def make() -> Site:
        pool = f"contract-{next(_numbers)}"
        return Site(stack, tmp_path_factory.mktemp(pool), pool)

    return make


@pytest.fixture(scope="module")
async def site(new_site: Callable[[], Site]) -> Site:
    """A pool whose worker outlives the tests of the module."""
    made = new_site()
    await made.create()
    return made


@pytest.fixture(scope="module")
async def worker(site: Site) -> AsyncGenerator[Worker]:
    async with site.worker() as running:
        yield running


@pytest.fixture
def go(tmp_path: Path) -> Go:
    return Go(tmp_path / "go")
