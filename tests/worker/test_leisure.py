"""What only shows that runs wait leaves a busy Prefect server to those that start."""

from __future__ import annotations

import contextlib

import pytest

from qpuflow.flows.leisure import Leisure


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize(("took", "left_alone"), [(0.01, 1.0), (0.1, 1.0), (0.9, 9.0)])
@pytest.mark.parametrize("error", [None, ConnectionError], ids=["done", "failed"])
def test_a_server_is_left_alone_for_longer_the_longer_it_took(
    took: float, left_alone: float, error: type[Exception] | None
) -> None:
    clock = Clock()
    leisure = Leisure(least_seconds=1.0, times=10, clock=clock)
    assert leisure.is_there
    with contextlib.suppress(ConnectionError), leisure.spent():
        clock.seconds += took
        if error is not None:
            raise error
    clock.seconds += left_alone - 0.001
    assert not leisure.is_there
    clock.seconds += 0.002
    assert leisure.is_there
