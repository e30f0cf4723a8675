"""When to ask, decided without a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpuflow.drivers.base import RemoteState
from qpuflow.drivers.waiting import Pace, RateLimit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@given(
    unchanged=st.integers(0, 10_000),
    state=st.sampled_from([None, RemoteState.QUEUED, RemoteState.RUNNING]),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_a_pause_is_never_shorter_than_the_first_nor_longer_than_the_cap_but_for_jitter(
    unchanged: int, state: RemoteState | None, chance: float
) -> None:
    pace = Pace()
    cap = pace.running_cap_seconds if state is RemoteState.RUNNING else pace.queued_cap_seconds
    pause = pace.pause_seconds(unchanged, state, chance)
    assert pace.first_seconds * (1 - pace.jitter) <= pause <= cap * (1 + pace.jitter)


def test_pauses_grow_until_their_cap() -> None:
    pace = Pace(first_seconds=1, growth=2, queued_cap_seconds=10, running_cap_seconds=3, jitter=0)
    queued = [pace.pause_seconds(n, RemoteState.QUEUED, 0.5) for n in range(6)]
    running = [pace.pause_seconds(n, RemoteState.RUNNING, 0.5) for n in range(4)]
    assert queued == [1, 2, 4, 8, 10, 10]
    assert running == [1, 2, 3, 3]


def test_jitter_spreads_pauses_both_ways() -> None:
    pace = Pace(first_seconds=10, jitter=0.2)
    assert pace.pause_seconds(0, None, 0.0) == pytest.approx(8)
    assert pace.pause_seconds(0, None, 0.999_999) == pytest.approx(12, abs=1e-3)


def test_a_burst_is_free_and_then_turns_come_at_the_rate() -> None:
    limit = RateLimit(per_second=2, burst=3, clock=Clock())
    assert [limit.reserve() for _ in range(6)] == pytest.approx([0, 0, 0, 0.5, 1.0, 1.5])


def test_an_idle_limit_saves_no_more_than_its_burst() -> None:
    clock = Clock()
    limit = RateLimit(per_second=2, burst=2, clock=clock)
    clock.now += 3600
    assert [limit.reserve() for _ in range(4)] == pytest.approx([0, 0, 0.5, 1.0])


def test_when_the_vendor_asks_for_a_pause_everybody_waits() -> None:
    clock = Clock()
    limit = RateLimit(per_second=10, burst=5, clock=clock)
    limit.hold(7)
    assert [limit.reserve(), limit.reserve()] == pytest.approx([7.0, 7.1])
