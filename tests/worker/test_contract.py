"""What Prefect promises about a flow run holds in our worker, case by case.

A real server, a real worker process, flows as people write them.
"""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from tests.worker.workers import Go, Site, Worker

pytestmark = pytest.mark.usefixtures("worker")


@pytest.mark.parametrize("flow", ["completes", "completes_without_async"])
async def test_a_flow_completes(site: Site, flow: str) -> None:
    run = await site.start(flow)
    await run.ends("Completed")
    assert len(run.lines) == 1


async def test_a_paused_flow_goes_on_where_it_was(site: Site) -> None:
    run = await site.start("pauses")
    await run.becomes("Paused")
    await run.resume()
    await run.ends("Completed")
    assert [line[2] for line in run.lines] == ["before", "after"]


async def test_a_suspended_flow_leaves_the_worker_and_starts_again_when_it_is_resumed(
    site: Site,
) -> None:
    run = await site.start("suspends")
    await run.becomes("Suspended")
    assert len(run.lines) == 1
    await run.resume()
    await run.ends("Completed")
    assert len(run.lines) == 2


async def test_a_flow_suspended_from_outside_leaves_between_two_tasks(site: Site) -> None:
    run = await site.start("steps_until_suspended")
    await run.begun()
    await run.becomes("Running")
    await run.suspend()
    neighbour = await site.start("completes")
    await neighbour.ends("Completed")
    assert (await run.state())["name"] == "Suspended"
    await run.resume()
    await run.ends("Completed")
    assert [line[2] for line in run.lines] == ["begins", "leaves", "begins"]


async def test_an_exception_fails_the_run_with_its_message(site: Site) -> None:
    run = await site.start("fails")
    assert "as it was told to" in (await run.ends("Failed"))["message"]


async def test_a_flow_that_exits_crashes_alone(site: Site, go: Go) -> None:
    neighbour = await site.start("waits_for", file=go.file)
    await neighbour.begun()
    run = await site.start("exits")
    await run.ends("Crashed")
    go()
    await neighbour.ends("Completed")
    assert neighbour.pids[0] == neighbour.pids[1]


async def test_what_the_server_aborts_stays_as_the_server_has_it(site: Site) -> None:
    run = await site.start("is_ended_by_others")
    assert (await run.ends("Cancelled"))["message"] == "Not by me"
    await (await site.start("completes")).ends("Completed")
    assert (await run.state())["message"] == "Not by me"


async def test_a_flow_is_retried_as_often_and_as_late_as_it_says(site: Site) -> None:
    run = await site.start("fails_twice")
    await run.ends("Completed")
    times = [float(line[0]) for line in run.lines]
    assert len(times) == 3
    assert all(later - earlier >= 2 for earlier, later in pairwise(times))


async def test_a_flow_that_takes_too_long_is_stopped(site: Site) -> None:
    run = await site.start("takes_too_long")
    assert "exceeded timeout" in (await run.ends("TimedOut"))["message"]


async def test_parameters_that_do_not_fit_fail_the_run_and_say_which(site: Site) -> None:
    run = await site.start("wants_options", options={"repeats": "often"})
    message = (await run.ends("Failed"))["message"]
    assert "repeats" in message
    assert not run.lines


async def test_a_cancelled_run_ends_within_three_seconds_and_its_neighbour_does_not(
    site: Site, go: Go
) -> None:
    run = await site.start("waits_for", file="/never")
    neighbour = await site.start("waits_for", file=go.file)
    await run.begun()
    await neighbour.begun()
    asked = time.monotonic()
    await run.set_state("CANCELLING")
    await run.ends("Cancelled")
    assert time.monotonic() - asked < 3
    await (await site.start("completes")).ends("Completed", 5)
    go()
    await neighbour.ends("Completed")
    assert len(neighbour.lines) == 2


async def test_a_cancelled_pause_ends(site: Site) -> None:
    run = await site.start("pauses")
    await run.becomes("Paused")
    await run.set_state("CANCELLING")
    await run.ends("Cancelled", 5)
    assert len(run.lines) == 1


async def test_a_run_whose_flow_is_nowhere_says_so(site: Site) -> None:
    run = await site.start("is_not_there")
    message = (await run.ends("Crashed"))["message"]
    assert "is_not_there" in message


async def test_the_worker_is_one_process_with_one_engine(site: Site, worker: Worker) -> None:
    pids = {(await _pid(site)) for _ in range(2)}
    assert len(pids) == 1
    assert pids <= worker.descendants()


async def _pid(site: Site) -> int:
    run = await site.start("completes")
    await run.ends("Completed")
    return run.pids[0]
