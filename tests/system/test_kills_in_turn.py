"""300 jobs of five users, while every part of the stack is killed with -9, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.system.installation import Installation, eventually
from tests.system.test_kills import (
    SLOW,
    charged_once,
    finished,
    kill_holder,
    kill_part,
    prefect_agrees,
    request,
    submitted,
)

USERS = 5
JOBS_OF_EACH = 60
SHOTS = 100
"""About 0.1 s a job: 300 of them outlast four restarts."""

KILLS: tuple[tuple[str, Callable[[Installation, str], Awaitable[None]]], ...] = (
    ("worker-aer", kill_part),
    ("flow-run", kill_holder),
    ("prefect-server", kill_part),
    ("postgres", kill_part),
)


async def jobs_of(stack: Installation, user: str) -> list[str]:
    requests = [request(SLOW, SHOTS, f"{user}-{number}") for number in range(JOBS_OF_EACH)]
    return await submitted(stack, user, *requests)


async def done(stack: Installation, jobs: list[str]) -> int:
    query = "SELECT count(*) FROM jobs WHERE id = ANY($1::uuid[]) AND finished_at IS NOT NULL"
    return await stack.value(query, jobs)


@pytest.mark.timeout(400)
async def test_300_jobs_finish_once_and_are_charged_once_whatever_is_killed_on_the_way(
    stack: Installation,
) -> None:
    users = [f"in-turn-{number}" for number in range(USERS)]
    jobs = [
        job for found in await asyncio.gather(*(jobs_of(stack, u) for u in users)) for job in found
    ]
    assert len(set(jobs)) == USERS * JOBS_OF_EACH
    killed_at: list[int] = []
    for part, kill in KILLS:
        before = killed_at[-1] if killed_at else 0

        async def goes_on(before: int = before) -> bool:
            return await done(stack, jobs) > before

        await eventually(goes_on, f"nothing ends before {part} is killed", 90)
        killed_at.append(await done(stack, jobs))
        await kill(stack, part)
    assert killed_at[-1] < len(jobs), f"all was done before the last kill: {killed_at}"
    assert await finished(stack, jobs) == ["completed"] * len(jobs)
    await charged_once(stack, jobs)
    await prefect_agrees(stack, jobs)
    leased = await stack.value("SELECT count(*) FROM leases WHERE released_at IS NULL")
    assert leased == 0
