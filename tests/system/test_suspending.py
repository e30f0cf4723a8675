"""Suspending a run in Prefect: it leaves the worker at once, and goes on when it is resumed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import UUID, uuid4

import pytest

from tests.system.installation import Installation, eventually
from tests.system.test_kills import (
    BELL,
    SLOW,
    charged_once,
    finished,
    request,
    running,
    submitted,
)

ENDLESS = 500_000
"""Shots: nobody waits for all of them, and it is at work for as long as the test needs."""


@pytest.fixture
async def user(stack: Installation) -> AsyncGenerator[str]:
    """Somebody of whom nothing is left on the QPU afterwards, whatever failed."""
    name = f"suspender-{uuid4().hex[:8]}"
    yield name
    query = 'SELECT id FROM jobs WHERE "user" = $1 AND finished_at IS NULL'
    for row in await stack.rows(query, name):
        await stack.run("--operator", "cancel", row["id"])


async def suspend(stack: Installation, run: str) -> None:
    state = {"type": "PAUSED", "name": "Suspended", "state_details": {"pause_reschedule": True}}
    answer = await stack.prefect("POST", f"/flow_runs/{run}/set_state", {"state": state})
    assert answer["status"] == "ACCEPT", answer

    async def at_rest() -> bool:
        query = "SELECT count(*) FROM carriers WHERE flow_run_id = $1 AND resting_since IS NOT NULL"
        return await stack.value(query, UUID(run)) == 1

    await eventually(at_rest, "it does not leave", 60)


async def at_work(stack: Installation, run: str) -> None:
    """The run has a process again."""

    async def held() -> bool:
        query = "SELECT count(*) FROM carriers WHERE flow_run_id = $1 AND holder IS NOT NULL"
        return await stack.value(query, UUID(run)) == 1

    await eventually(held, "it does not go on", 60)


async def handed_over_once(stack: Installation, job: str) -> None:
    assert await stack.value("SELECT count(*) FROM intents WHERE job_id = $1", UUID(job)) == 1


async def resume(stack: Installation, run: str) -> None:
    answer = await stack.prefect("POST", f"/flow_runs/{run}/resume")
    assert answer["status"] == "ACCEPT", answer


async def test_a_suspended_run_leaves_what_it_waits_for_and_is_there_when_it_is_resumed(
    stack: Installation, user: str
) -> None:
    job, run = await running(stack, user, ENDLESS)
    (behind,) = await submitted(stack, user, request(BELL, 50, "behind"))
    await suspend(stack, run)
    assert (await stack.job(job))["finished_at"] is None, "it was over before"
    status = (await stack.run("--operator", "status", behind)).stdout
    assert "suspended in Prefect" in status
    (later,) = await submitted(stack, user, request(BELL, 50, "later"))
    assert await finished(stack, [later]) == ["completed"]
    await stack.reap()
    assert (await stack.flow_run(run))["state_name"] == "Suspended"
    await resume(stack, run)
    await at_work(stack, run)
    assert (await stack.run("--operator", "cancel", job)).code == 0
    assert await finished(stack, [behind]) == ["completed"]
    assert (await finished(stack, [job]))[0].startswith("cancelled")
    await charged_once(stack, [behind, later])
    await handed_over_once(stack, job)
    assert (await stack.ended(run))["state_type"] == "COMPLETED"


async def test_a_run_from_the_ui_is_suspended_and_resumed_with_its_job(
    stack: Installation, user: str
) -> None:
    body = request(SLOW, ENDLESS, "from-the-ui").model_dump(mode="json")
    run = await stack.start("run-circuits/aer", {"request": body | {"user": user}})

    async def waits() -> bool:
        query = "SELECT count(*) FROM jobs WHERE state = 'waiting' AND \"user\" = $1"
        return await stack.value(query, user) == 1

    await eventually(waits, "its job does not reach the QPU", 60)
    await suspend(stack, run)
    await resume(stack, run)
    await at_work(stack, run)
    job = await stack.job_of(run)
    assert (await stack.run("--operator", "cancel", job)).code == 0
    assert "cancelled" in (await stack.ended(run))["state"]["message"]
    await handed_over_once(stack, job)
