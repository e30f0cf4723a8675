from __future__ import annotations

from itertools import product

import pytest

from qpuflow.domain.errors import Conflict
from qpuflow.domain.job import (
    FINAL,
    OPEN,
    TRANSITIONS,
    IllegalTransition,
    JobState,
    check_transition,
    sources_of,
)


def _reachable(start: JobState) -> set[JobState]:
    seen, ahead = {start}, [start]
    while ahead:
        new = TRANSITIONS[ahead.pop()] - seen
        seen |= new
        ahead += new
    return seen


def test_every_state_has_a_row_and_is_reached_from_queued() -> None:
    assert set(TRANSITIONS) == set(JobState)
    assert _reachable(JobState.QUEUED) == set(JobState)


@pytest.mark.parametrize("state", sorted(OPEN))
def test_every_open_state_can_end_in_each_final_state(state: JobState) -> None:
    assert _reachable(state) >= FINAL


def test_completed_and_cancelled_are_the_end_and_failed_may_only_be_retried() -> None:
    assert not TRANSITIONS[JobState.COMPLETED]
    assert not TRANSITIONS[JobState.CANCELLED]
    assert TRANSITIONS[JobState.FAILED] == {JobState.QUEUED}
    assert {state for state in JobState if state.is_final} == FINAL


def test_nothing_completes_without_having_been_accepted_by_a_qpu() -> None:
    assert sources_of(JobState.COMPLETED) == {JobState.WAITING}


def test_an_unknown_outcome_is_never_run_again_directly() -> None:
    assert JobState.RUNNING not in TRANSITIONS[JobState.AMBIGUOUS]


@pytest.mark.parametrize(("current", "new"), list(product(JobState, JobState)))
def test_the_check_follows_the_table(current: JobState, new: JobState) -> None:
    if new in TRANSITIONS[current]:
        check_transition(current, new)
        assert current in sources_of(new)
    else:
        with pytest.raises(IllegalTransition, match=f"{current.value}.*{new.value}") as caught:
            check_transition(current, new)
        assert isinstance(caught.value, Conflict)
