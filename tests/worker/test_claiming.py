"""Who of those that wait gets a seat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from qpuflow.flows.claiming import outranked, seated
from qpuflow.ledger.carriers import Carriage
from qpuflow.ledger.claims import Candidate
from qpuflow.ledger.schema import BatchKind


def waiting(urgent: int, others: int) -> Iterator[Candidate]:
    for place in range(urgent + others):
        carriage = Carriage(uuid4(), uuid4(), BatchKind.SHARED, "rack", "u", place, None, None)
        yield Candidate(carriage, is_urgent=place < urgent)


@pytest.mark.parametrize(
    ("urgent", "others", "free", "seats"),
    [
        (0, 9, 4, 4),
        (0, 2, 4, 2),
        (0, 9, 0, 0),
        (0, 9, -1, 0),
        (1, 9, 0, 1),
        (9, 9, 0, 2),
        (9, 9, -1, 1),
        (9, 9, -5, 0),
        (3, 9, 4, 4),
        (5, 9, 4, 5),
        (9, 9, 4, 6),
    ],
)
def test_a_booker_gets_a_seat_beside_the_others_and_nobody_is_passed_over(
    urgent: int, others: int, free: int, seats: int
) -> None:
    queue = waiting(urgent, others)
    chosen, left = seated(queue, free)
    behind = [*([left] if left else []), *queue]
    assert [one.carriage.number for one in chosen] == list(range(seats))
    assert [one.carriage.number for one in behind] == list(range(seats, urgent + others))


@pytest.mark.parametrize(
    ("ahead_of", "leave"),
    [
        ([], ""),
        ([0, 0], ""),
        ([1], "c"),
        ([3], "c"),
        ([3, 1], "c"),
        ([3, 2, 2], "bc"),
        ([3, 3, 3, 3, 3], "abc"),
        ([0, 3], ""),
    ],
)
def test_as_many_leave_their_seats_as_come_before_them_the_last_first(
    ahead_of: list[int], leave: str
) -> None:
    unseated = [
        replace(one, ahead_of=places)
        for one, places in zip(waiting(0, len(ahead_of)), ahead_of, strict=True)
    ]
    assert outranked(unseated, "abc") == frozenset(leave)
