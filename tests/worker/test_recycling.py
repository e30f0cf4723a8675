"""An engine that has run so many flow runs is replaced while it ends what it has begun."""

from __future__ import annotations

from collections.abc import Callable

from tests.system.installation import eventually
from tests.worker.test_crashes import alive
from tests.worker.workers import Go, Site


async def test_after_so_many_runs_another_engine_serves_and_the_old_one_ends_what_it_began(
    new_site: Callable[[], Site], go: Go
) -> None:
    site = new_site()
    await site.create(recycle_after_runs=3)
    async with site.worker():
        long = await site.start("waits_for", file=go.file)
        await long.begun()
        old = long.pids[0]

        async def elsewhere() -> int | None:
            run = await site.start("completes")
            await run.ends("Completed")
            return run.pids[0] if run.pids[0] != old else None

        new = await eventually(elsewhere, "the old engine serves on", 60)
        assert alive(old)
        go()
        await long.ends("Completed")
        assert long.pids == [old, old]

        async def gone() -> bool:
            return not alive(old)

        await eventually(gone, "the old engine does not end", 10)
        assert alive(new)
