"""What people do in Prefect that no worker expects: it costs nobody else a run."""

from __future__ import annotations

from collections.abc import Callable

from tests.system.installation import Installation
from tests.system.test_kills import running
from tests.worker.workers import Go, Site

FULL_SHOTS, LONG_SHOTS = 3_000, 200_000


async def test_a_run_of_a_deleted_deployment_that_is_retried_stops_no_worker(
    new_site: Callable[[], Site],
) -> None:
    site = new_site()
    await site.create()
    async with site.worker("first"):
        once = await site.start("completes_without_async")
        await once.ends("Completed")
    deployment = await site.deploy("completes_without_async")
    await site.stack.prefect("DELETE", f"/deployments/{deployment}")
    await once.set_state("SCHEDULED")
    async with site.worker("second") as worker:
        await once.ends("Cancelled")
        await (await site.start("completes")).ends("Completed")
        assert worker.process.returncode is None


async def test_a_form_that_somebody_broke_breaks_nothing_that_runs(
    new_site: Callable[[], Site], go: Go
) -> None:
    site = new_site()
    await site.create(seats=2)
    async with site.worker() as worker:
        long = await site.start("waits_for", file=go.file)
        await long.begun()
        await site.change(seats="many")
        broken = await site.start("completes")
        assert "Input should be a valid integer" in (await broken.ends("Crashed"))["message"]
        await site.change(seats=3)
        go()
        await long.ends("Completed")
        await (await site.start("completes")).ends("Completed")
        assert worker.process.returncode is None


async def test_a_run_that_is_deleted_while_it_is_cancelled_takes_no_other_along(
    stack: Installation,
) -> None:
    other, _ = await running(stack, "keeper", FULL_SHOTS)
    _, run = await running(stack, "deleter", LONG_SHOTS)
    state = {"type": "CANCELLING", "message": "Enough"}
    await stack.prefect("POST", f"/flow_runs/{run}/set_state", {"state": state})
    await stack.prefect("DELETE", f"/flow_runs/{run}")
    await stack.all_ended([other])
    assert (await stack.job(other))["state"] == "completed"
    carried = "SELECT count(*) FROM carriers JOIN jobs USING (batch_id) WHERE jobs.id = $1"
    assert await stack.value(carried, other) == 1, "its worker ended under it"
