"""Clouds repeat themselves and go back; who waits is told what is news."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from hypothesis import given
from hypothesis import strategies as st

from qpuflow.drivers.base import RemoteState, RemoteStatus
from qpuflow.drivers.waiting import forward
from qpuflow.drivers.waiting.forward import rank

Q, R, C = RemoteState.QUEUED, RemoteState.RUNNING, RemoteState.COMPLETED


async def said(*statuses: RemoteStatus) -> AsyncGenerator[RemoteStatus]:
    for status in statuses:
        yield status


async def heard(*statuses: RemoteStatus) -> list[RemoteStatus]:
    return [status async for status in forward(said(*statuses))]


async def test_repetitions_and_steps_back_are_dropped() -> None:
    statuses = [RemoteStatus(state) for state in (Q, Q, R, Q, R, C)]
    assert [status.state for status in await heard(*statuses)] == [Q, R, C]


async def test_a_new_place_in_the_queue_is_news() -> None:
    places = [RemoteStatus(Q, queue_position=place) for place in (3, 3, 2)]
    assert [status.queue_position for status in await heard(*places)] == [3, 2]


async def test_nothing_comes_after_the_end() -> None:
    statuses = [RemoteStatus(state) for state in (C, R, RemoteState.FAILED)]
    assert [status.state for status in await heard(*statuses)] == [C]


async def test_the_source_is_closed_when_nobody_listens_any_more() -> None:
    closed: list[bool] = []

    async def endless() -> AsyncGenerator[RemoteStatus]:
        try:
            while True:
                yield RemoteStatus(C)
        finally:
            closed.append(True)

    assert [status.state async for status in forward(endless())] == [C]
    assert closed == [True]


@given(st.lists(st.sampled_from(list(RemoteState)), max_size=12))
async def test_whatever_is_said_states_only_go_forward(states: list[RemoteState]) -> None:
    ranks = [rank(status.state) for status in await heard(*map(RemoteStatus, states))]
    assert ranks == sorted(ranks)
    assert ranks.count(2) <= 1
