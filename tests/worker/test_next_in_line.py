"""Who gets the next free seat without another look at the queue."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

import pytest

from qpuflow.flows.next_in_line import BELIEVED_SECONDS, SHARED_SECONDS, NextInLine
from qpuflow.ledger.carriers import Carriage
from qpuflow.ledger.claims import Candidate
from qpuflow.ledger.schema import BatchKind


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def line(clock: Clock) -> NextInLine:
    return NextInLine(clock)


def waiting(count: int) -> list[Candidate]:
    return [Candidate(carriage(place), is_urgent=False) for place in range(count)]


def carriage(place: int) -> Carriage:
    return Carriage(uuid4(), uuid4(), BatchKind.SINGLE, "rack", "u", place, uuid4(), None)


def places(taken: list[Carriage]) -> list[int]:
    return [one.number for one in taken]


def test_each_is_taken_once_in_the_order_of_the_look(line: NextInLine) -> None:
    line.set(waiting(5))
    assert places(line.take(2, frozenset())) == [0, 1]
    assert places(line.take(0, frozenset())) == []
    assert places(line.take(2, frozenset())) == [2, 3]
    assert places(line.take(2, frozenset())) == [4]


def test_whoever_has_started_or_is_refused_since_the_look_is_passed_over(line: NextInLine) -> None:
    first, second, *_ = ones = waiting(4)
    line.set(ones)
    run = second.carriage.flow_run_id
    assert run is not None
    assert places(line.take(1, {first.carriage.id, run})) == [2]


def test_a_look_is_believed_for_a_second(line: NextInLine, clock: Clock) -> None:
    assert not line.is_known
    line.set(waiting(1))
    assert line.is_known
    clock.now += BELIEVED_SECONDS
    assert not line.is_known
    line.set(waiting(1))
    assert line.is_known
    line.clear()
    assert not line.is_known


def test_whoever_met_another_engine_looks_each_time_for_a_while(
    line: NextInLine, clock: Clock
) -> None:
    line.set(waiting(3))
    line.mark_shared()
    assert not line.is_known
    clock.now += SHARED_SECONDS - BELIEVED_SECONDS / 2
    line.set(waiting(3))
    assert not line.is_known
    clock.now += BELIEVED_SECONDS
    line.set(waiting(3))
    assert line.is_known
