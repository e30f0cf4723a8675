"""Prefect's own watch over runs that nobody sees to: each automation fires on a real server."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

import pytest
from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from qpuflow.deployments import automations
from qpuflow.deployments.automations import Watch
from tests.system.installation import Installation
from tests.worker.workers import Site, Started

pytestmark = pytest.mark.timeout(400)
SOON = timedelta(seconds=10)
"""Prefect takes no less."""
LATER = timedelta(hours=1)
PATIENT = Watch(silent=LATER, unstarted=LATER, endless=LATER, starts=2)
FIRES_SECONDS = 150.0


class Watched(Protocol):
    def __call__(self, how: Watch, *, started_again: bool = False) -> Coroutine[Any, Any, Site]: ...


@pytest.fixture(autouse=True, scope="module")
def _api(stack: Installation) -> Generator[None]:
    with temporary_settings({PREFECT_API_URL: stack.endpoints.prefect_api_url}):
        yield


@pytest.fixture
async def watched(new_site: Callable[[], Site]) -> AsyncGenerator[Watched]:
    """A site of its own, and automations for its runs that are gone after the test."""
    made: list[Automation] = []

    async def watch(how: Watch, *, started_again: bool = False) -> Site:
        site = new_site()
        tag, again = f"{site.pool}-watched", f"{site.pool}-again"
        site.tags = (tag, again) if started_again else (tag,)
        await site.create()
        made.extend(automations.declared(replace(how, tag=tag, started_again_tag=again), tag))
        await automations.apply(made)
        return site

    yield watch
    async with get_client() as client:
        for one in made:
            for found in await client.read_automations_by_name(one.name):
                await client.delete_automation(found.id)


async def test_a_started_stack_has_each_once_and_switched_off_ones_stay_off() -> None:
    wanted = automations.declared(PATIENT)
    async with get_client() as client:
        first, *others = [(await client.read_automations_by_name(one.name))[0] for one in wanted]
        await client.pause_automation(first.id)
        await automations.apply(wanted)
        await automations.apply(wanted)
        found = [await client.read_automations_by_name(one.name) for one in wanted]
        assert [[one.id for one in several] for several in found] == [
            [one.id] for one in (first, *others)
        ]
        assert [several[0].enabled for several in found] == [False, True, True, True, True]
        await client.resume_automation(first.id)


async def test_a_run_whose_whole_worker_died_crashes(watched: Watched) -> None:
    site = await watched(replace(PATIENT, silent=SOON))
    async with site.worker() as worker:
        run = await site.start("waits_for", file="/never")
        await run.begun()
        await worker.kill()
        state = await run.ends("Crashed", FIRES_SECONDS)
    assert state["message"] == "Nothing was heard of it for 10 s: its process is dead"


async def test_a_run_that_was_claimed_and_never_started_is_offered_again(
    watched: Watched,
) -> None:
    site = await watched(replace(PATIENT, unstarted=SOON))
    run, message = await claimed_until_offered_again(site)
    assert "not started: offered again" in message
    async with site.worker():
        await run.ends("Completed")
    assert len(run.lines) == 1


async def claimed_until_offered_again(site: Site) -> tuple[Started, str]:
    """A run and what its offer says.

    Nobody watches a claim that comes before the server knows the automation. One that has lost its
    database once (other tests see to that) is told of none, and looks every few seconds only.
    """
    for _ in range(3):
        run = await site.start("completes")
        await run.set_state("PENDING")
        with suppress(AssertionError):
            return run, (await run.becomes("AwaitingRetry", FIRES_SECONDS / 3))["message"]
    raise AssertionError("no claimed run was offered again")


async def test_a_run_that_does_not_end_crashes(watched: Watched) -> None:
    site = await watched(replace(PATIENT, endless=SOON, starts=1), started_again=True)
    async with site.worker():
        run = await site.start("waits_for", file="/never")
        await run.begun()
        began = time.monotonic()
        await run.becomes("DeadLetter", FIRES_SECONDS)
        assert time.monotonic() - began > 5
    states = await site.stack.prefect("GET", f"/flow_run_states/?flow_run_id={run.id}")
    assert "without an end" in next(s for s in states if s["name"] == "Crashed")["message"]


async def test_a_run_that_crashes_is_started_again_until_it_is_given_up(
    watched: Watched,
) -> None:
    site = await watched(PATIENT, started_again=True)
    async with site.worker():
        run = await site.start("exits")
        state = await run.becomes("DeadLetter", FIRES_SECONDS)
        assert "it crashed in each of 2 starts" in state["message"]
    assert len(run.lines) == 2
