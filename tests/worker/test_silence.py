"""Prefect's server is away for longer than its client asks for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from urllib.parse import urlsplit

import pytest

from tests.system.installation import Installation, eventually
from tests.worker.cable import Cable
from tests.worker.workers import Go, Site

ENOUGH = 10
"""Attempts after which somebody who gives up has given up."""
IMPATIENT = {"PREFECT_CLIENT_MAX_RETRIES": "0"}
"""What Prefect's client does after a minute, at once."""


@pytest.fixture
async def cable(stack: Installation) -> AsyncGenerator[Cable]:
    server = urlsplit(stack.endpoints.prefect_api_url)
    assert server.hostname is not None
    assert server.port is not None
    async with Cable(server.hostname, server.port).laid() as laid:
        yield laid


async def test_what_completed_while_nobody_listened_is_shown_as_completed(
    new_site: Callable[[], Site], cable: Cable, go: Go
) -> None:
    site = new_site()
    await site.create()
    api = f"http://127.0.0.1:{cable.port}/api"
    async with site.worker(PREFECT_API_URL=api, **IMPATIENT) as worker:
        run = await site.start("waits_for", file=go.file)
        await run.begun()
        cable.pull()
        go()
        await run.begun(2)
        tries = cable.turned_away

        async def asked() -> bool:
            return cable.turned_away - tries >= ENOUGH

        await eventually(asked, "nobody asks for the server", 60)
        cable.plug_in()
        await run.ends("Completed")
        await (await site.start("completes")).ends("Completed")
        assert worker.process.returncode is None
