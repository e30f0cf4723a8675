"""Who runs next, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qpuflow.domain.forecast import explain
from qpuflow.domain.policy import (
    Grant,
    PolicyRules,
    QpuState,
    Running,
    Slot,
    Wait,
    Waiting,
    decide,
    must_stop,
)
from qpuflow.domain.principal import SYSTEM

NOON = datetime(2028, 2, 29, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def job(number: int, user: str = "ann", seconds: float = 1.0, **more: Any) -> Waiting:
    return Waiting(number, user, user, user, number, seconds)._replace(**more)


def slot(start: float, end: float, project: str | None = "ann") -> Slot:
    return Slot(at(start), at(end), project)


def granted(state: QpuState, seconds: float = 0) -> list[Any]:
    decision = decide(state, at(seconds))
    assert isinstance(decision, Grant), decision
    return [one.id for one in decision.jobs]


def waits(state: QpuState, seconds: float = 0) -> Wait:
    decision = decide(state, at(seconds))
    assert isinstance(decision, Wait), decision
    return decision


def test_the_oldest_job_of_the_least_user_runs_next() -> None:
    state = QpuState(waiting=(job(1), job(2, "bob", 2), job(3, "bob")), usage={"ann": 5.0})
    assert granted(state) == [2]


def test_between_users_of_equal_use_the_oldest_job_runs_next() -> None:
    assert granted(QpuState(waiting=(job(2, "bob", 2), job(1, "ann", 2)))) == [1]


def test_a_turn_ends_while_others_wait_and_does_not_while_nobody_does() -> None:
    mine = tuple(job(number, seconds=0.5) for number in range(10))
    assert len(granted(QpuState(waiting=mine))) == 10
    assert granted(QpuState(waiting=(*mine, job(99, "bob")))) == [0, 1, 2, 3]


def test_alone_a_turn_is_longer_and_not_endless_for_somebody_may_come() -> None:
    mine = tuple(job(number, seconds=0.5) for number in range(50))
    assert len(granted(QpuState(waiting=mine))) == 20
    assert granted(QpuState(waiting=tuple(job(number, seconds=60) for number in range(9)))) == [0]


def test_a_job_longer_than_a_turn_is_a_turn() -> None:
    assert granted(QpuState(waiting=(job(1, seconds=60), job(2, "bob"), job(3)))) == [1]


def test_a_turn_never_mixes_batches() -> None:
    assert granted(QpuState(waiting=(job(1), job(2, batch="other")))) == [1]


def test_lanes_are_filled_and_no_more() -> None:
    running = Running("bob", at(7))
    assert granted(QpuState(lanes=2, waiting=(job(1),), running=(running,))) == [1]
    wait = waits(QpuState(lanes=1, waiting=(job(1),), running=(running,)))
    assert wait == Wait("Other jobs are running", at(7))


def test_what_an_operator_moved_goes_first() -> None:
    state = QpuState(waiting=(job(1), job(2, "bob", is_first=True)), usage={"bob": 100})
    assert granted(state)[0] == 2


def test_in_a_booking_its_project_goes_first_whatever_it_has_used() -> None:
    state = QpuState(
        slots=(slot(0, 100),),
        waiting=(job(1, "bob", is_first=True), job(2)),
        usage={"ann": 1e6},
    )
    assert granted(state) == [2]


def test_within_a_booking_age_decides_between_the_projects_users() -> None:
    theirs = (job(1, project="lab"), job(2, "bob", project="lab"))
    assert granted(QpuState(slots=(slot(0, 9, "lab"),), waiting=theirs, usage={"ann": 9})) == [1]


def test_an_idle_booking_is_lent_after_the_threshold_and_to_one_job_at_a_time() -> None:
    state = QpuState(slots=(slot(0, 100),), waiting=(job(1, "bob"), job(2, "bob")))
    assert waits(state, 4.9).until == at(5)
    assert granted(state, 5) == [1]


def test_work_of_the_booker_restarts_the_threshold() -> None:
    state = QpuState(slots=(slot(0, 100),), waiting=(job(1, "bob"),), last_active={"ann": at(50)})
    assert "not yet idle" in waits(state, 54.9).reason
    assert granted(state, 55) == [1]


def test_nothing_is_lent_while_the_booker_runs_or_may() -> None:
    state = QpuState(lanes=2, slots=(slot(0, 100),), waiting=(job(1, "bob"),))
    running = replace(state, running=(Running("ann", at(60)),))
    assert "who use it" in waits(running, 50).reason
    later = replace(state, waiting=(*state.waiting, job(2, not_before=at(70))))
    assert granted(later, 50) == [1]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (QpuState(slots=(slot(0, 100, None),)), "maintenance"),
        (QpuState(slots=(slot(0, 100),), lends=False), "booked by ann"),
        (
            QpuState(slots=(slot(0, 100),), rules=PolicyRules(lend_max_seconds=1)),
            "booked by ann",
        ),
    ],
)
def test_what_is_not_lent_is_told_when_the_booking_ends(state: QpuState, reason: str) -> None:
    wait = waits(replace(state, waiting=(job(1, "bob"),)), 50)
    assert reason in wait.reason
    assert wait.until == at(100)


def test_a_lent_job_ends_before_the_next_booking_less_the_guard() -> None:
    state = QpuState(slots=(slot(0, 100), slot(100, 200, "eve")))
    fits = replace(state, waiting=(job(1, "bob", 8.0),))
    assert granted(fits, 90) == [1]
    assert "run into" in waits(replace(state, waiting=(job(1, "bob", 8.1),)), 90).reason


def test_near_a_booking_only_what_ends_in_time_starts() -> None:
    state = QpuState(slots=(slot(100, 200),), waiting=(job(1, "bob", 60), job(2, "bob", 5)))
    assert granted(state, 50) == [2]
    only = replace(state, waiting=(job(1, "bob", 60),))
    assert waits(only, 50) == Wait("It would run into the next booking", at(200))


def test_a_turn_ends_before_the_booking_too() -> None:
    state = QpuState(slots=(slot(10, 20),), waiting=tuple(job(n, "bob", 3.0) for n in range(5)))
    assert granted(state) == [0, 1]


def test_a_booker_may_start_before_the_slot_and_use_it_to_its_end() -> None:
    state = QpuState(slots=(slot(10, 20), slot(20, 30, "bob")), waiting=(job(1, seconds=10),))
    assert granted(state, 5) == [1]
    assert granted(state, 10) == [1]
    assert "run into" in waits(state, 10.1).reason


def test_a_job_that_fits_no_gap_is_told_to_book() -> None:
    full = tuple(slot(hour * 3600, (hour + 1) * 3600 - 60) for hour in range(24 * 15))
    wait = waits(QpuState(slots=full, waiting=(job(1, "bob", 600),)), 3590)
    assert "no gap of the next 14 days" in wait.reason
    assert "qpuflow book" in wait.reason
    assert wait.until is None


def test_a_closed_qpu_says_why() -> None:
    state = QpuState(closed="Paused by eve: helium", waiting=(job(1),))
    assert waits(state) == Wait("Paused by eve: helium")
    assert explain(state, NOON)[1].reason == "Paused by eve: helium"


def test_nothing_starts_before_or_after_its_time() -> None:
    state = QpuState(waiting=(job(1, not_before=at(10)),))
    assert waits(state).until == at(10)
    assert granted(state, 10) == [1]
    late = QpuState(waiting=(job(1, start_by=at(5)),))
    assert granted(late, 5) == [1]
    assert waits(late, 5.1) == Wait("Its latest start, 2028-02-29 12:00:05 UTC, has passed")


def test_what_would_start_too_late_is_no_part_of_a_turn() -> None:
    jobs = (job(1, "bob", 4), job(2, "bob", 4, start_by=at(3)), job(3, "bob", 4, start_by=at(4)))
    turn = tuple(one._replace(batch="b") for one in jobs)
    assert granted(QpuState(waiting=turn)) == [1, 3]


def test_a_booker_whose_work_is_too_late_keeps_nobody_out() -> None:
    late = job(2, start_by=at(40))
    state = QpuState(slots=(slot(0, 100),), waiting=(job(1, "bob"), late))
    assert granted(state, 50) == [1]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (QpuState(running=(Running("eve", at(60)),)), "Other jobs come first"),
        (QpuState(slots=(slot(0, 60, None),)), "The QPU is in maintenance until"),
    ],
)
def test_who_is_not_expected_to_start_in_time_is_told(state: QpuState, reason: str) -> None:
    hurried = replace(state, waiting=(job(1, start_by=at(30)),))
    told = explain(hurried, NOON)[1]
    assert told.reason.startswith(reason)
    assert told.reason.endswith("It is not expected to start by its latest start")
    assert told.until is None
    in_time = replace(state, waiting=(job(1, start_by=at(60)),))
    assert explain(in_time, NOON)[1].until == at(60)


def test_what_overruns_into_a_booking_is_cut_off_after_its_estimate_and_the_guard() -> None:
    state = QpuState(slots=(slot(10, 20),))
    late = Running("bob", at(8))
    assert not must_stop(state, late, at(9.9))
    assert must_stop(state, late, at(10))
    assert not must_stop(state, Running("bob", at(12)), at(13.9))
    assert must_stop(state, Running("bob", at(12)), at(14))
    assert not must_stop(state, Running("ann", at(8)), at(15))


def test_everybody_is_told_when_their_job_starts() -> None:
    state = QpuState(
        slots=(slot(10, 20),),
        waiting=(job(1, "bob", 4), job(2, "eve", 3), job(3, "bob", 3), job(4, "ann", 1)),
        running=(Running("bob", at(1)),),
    )
    told = explain(state, NOON)
    starts = {key: (wait.until - NOON).total_seconds() for key, wait in told.items() if wait.until}
    # At 9 the third would run into the booking, which is lent once it has been idle for 5 s.
    assert starts == {1: 1, 2: 5, 4: 8, 3: 15}


def test_however_many_wait_each_is_told() -> None:
    told = explain(QpuState(waiting=tuple(job(n, f"user-{n}") for n in range(300))), NOON)
    assert [wait.until for wait in told.values()] == [at(n) for n in range(300)]


def calibration(number: int, seconds: float = 1.0) -> Waiting:
    return job(number, "calibrate", seconds, project=SYSTEM, batch=SYSTEM)


def test_calibrations_come_after_everybody_and_one_at_a_time() -> None:
    waiting = (calibration(1), calibration(2), job(3, seconds=2))
    assert granted(QpuState(waiting=waiting, usage={"ann": 1e6})) == [3]
    assert granted(QpuState(waiting=waiting[:2])) == [1]


def test_calibrations_may_use_maintenance_and_nobody_else_may() -> None:
    state = QpuState(slots=(slot(-10, 60, None),), waiting=(calibration(1), job(2)))
    assert granted(state) == [1]
    assert "maintenance" in waits(replace(state, waiting=(job(2),))).reason
    assert granted(replace(state, slots=(slot(1, 60, None),), waiting=(calibration(1, 30),))) == [1]
    assert not must_stop(state, Running(SYSTEM, at(-9)), at(0))


def test_calibrations_use_a_booking_only_while_it_is_lent() -> None:
    state = QpuState(slots=(slot(0, 600),), waiting=(calibration(1),))
    assert "not yet idle" in waits(state, 1).reason
    assert granted(state, 10) == [1]
    assert granted(replace(state, waiting=(calibration(1), job(2))), 10) == [2]
    assert must_stop(state, Running(SYSTEM, at(0)), at(10))
