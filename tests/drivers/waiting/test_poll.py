"""Polling a real server that has bad days."""

from __future__ import annotations

import time

import pytest

from qpuflow.domain.errors import Unavailable
from qpuflow.drivers.base import RemoteState
from qpuflow.drivers.waiting import Pace, Polling, RateLimit, polled
from tests.drivers.waiting.lines import Line, line

QUICK = Pace(first_seconds=0.02, growth=1.0)


async def states(told: Line, polling: Polling) -> list[RemoteState]:
    return [status.state async for status in polled(told.ask, polling)]


async def test_it_asks_until_the_work_is_done() -> None:
    async with line(state="completed") as told:
        told.replies.extend(["queued", "running"])
        assert await states(told, Polling(QUICK)) == ["queued", "running", "completed"]
        assert told.asked == 3


async def test_what_makes_no_sense_is_asked_again() -> None:
    async with line(state="completed") as told:
        told.replies.append("defragmenting")
        assert await states(told, Polling(QUICK)) == ["completed"]


async def test_a_server_that_stumbles_is_asked_again() -> None:
    async with line(state="completed") as told:
        told.replies.extend([500, 502, 503, 504])
        assert await states(told, Polling(QUICK)) == ["completed"]


async def test_it_leaves_the_server_alone_as_long_as_that_asks_for() -> None:
    async with line(state="completed") as told:
        told.replies.append(429)
        began = time.monotonic()
        await states(told, Polling(QUICK))
        assert time.monotonic() - began >= 0.3


async def test_one_jobs_retry_after_holds_its_neighbours_too() -> None:
    async with line(state="completed") as told:
        told.replies.append(429)
        rate = RateLimit(per_second=1000, burst=1)
        with pytest.raises(Unavailable):
            await states(told, Polling(QUICK, rate, patience_seconds=-1))
        began = time.monotonic()
        await states(told, Polling(QUICK, rate))
        assert time.monotonic() - began >= 0.25


async def test_a_silent_server_is_given_up_after_the_patience_and_not_before() -> None:
    async with line() as told:
        told.replies.extend([503] * 1000)
        began = time.monotonic()
        with pytest.raises(Unavailable, match="503"):
            await states(told, Polling(QUICK, patience_seconds=0.4))
        assert time.monotonic() - began >= 0.4
