"""Who waits keeps nobody out: seats go to those who can run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import pytest

from qpuflow.flows.artifacts import MAX_PICTURES
from tests.examples.expectations import EXAMPLES
from tests.system.installation import Installation, eventually
from tests.system.test_kills import BELL, SLOW, request, submitted

pytestmark = pytest.mark.timeout(400)
QPU = "aer-heavyhex"
LONG_SHOTS = 600_000
"""Ten minutes: none ends before it is cancelled, however slow the rest is."""
CROWD = 24
SEATS = 4


async def start(stack: Installation, user: str, source: str, shots: int) -> str:
    request = {"programs": [{"source": source}], "shots": shots, "user": user}
    return await stack.start(f"run-circuits/{QPU}", {"request": request})


async def with_seat(stack: Installation, user: str) -> int:
    query = (
        'SELECT count(*) FROM carriers c JOIN batches b ON b.id = c.batch_id WHERE b."user" = $1 '
        "AND c.state = 'live' AND c.holder IS NOT NULL"
    )
    return await stack.value(query, user)


async def changes(stack: Installation, runs: list[str]) -> list[list[str]]:
    """The states that each has been in, but for the news of who waits."""
    found = [await stack.prefect("GET", f"/flow_run_states/?flow_run_id={run}") for run in runs]
    return [[one["name"] for one in states if one["name"] != "Queued"] for states in found]


async def test_runs_that_cannot_start_soon_leave_their_seats_to_others(stack: Installation) -> None:
    runs = [await start(stack, "patient", SLOW, LONG_SHOTS) for _ in range(5)]

    async def all_seats_taken() -> bool:
        return await with_seat(stack, "patient") >= SEATS

    await eventually(all_seats_taken, "they do not take all seats", 90)
    before = await changes(stack, runs)
    for _ in range(20):
        assert await with_seat(stack, "patient") == SEATS
        await asyncio.sleep(0.25)
    assert await changes(stack, runs) == before, "they take turns in seats in which they wait"
    job = (await stack.run("submit", EXAMPLES / "bell.qasm", "--qpu", QPU)).stdout.strip()

    async def has_a_seat() -> bool:
        return await with_seat(stack, "alice") == 1

    await eventually(has_a_seat, "they keep others out", 60)

    async def waiting() -> list[str]:
        states = [(await stack.flow_run(run))["state"]["name"] for run in runs]
        return [name for name in states if name == "Queued"]

    assert await eventually(waiting, "none waits as it did before it had a seat", 30)
    for run in runs:
        state = {"type": "CANCELLING", "message": "Enough"}
        await stack.prefect("POST", f"/flow_runs/{run}/set_state", {"state": state})

    async def all_cancelled() -> bool:
        # Those at work may be seen to crash, or to fail for their job, a moment before.
        seen[:] = [(await stack.flow_run(run))["state"] for run in runs]
        return {state["type"] for state in seen} == {"CANCELLED"}

    seen: list[dict[str, object]] = []
    try:
        await eventually(all_cancelled, "they are not cancelled", 120)
    except AssertionError as error:
        raise AssertionError([(one["name"], one["message"]) for one in seen]) from error
    assert (await stack.run("result", job, "--wait")).code == 0


async def test_runs_that_wait_for_another_run_s_job_do_not_keep_it_out(
    stack: Installation,
) -> None:
    assert (await stack.run("--operator", "pause", QPU, "Cabling")).code == 0
    one = {"programs": [{"source": BELL}], "shots": 50, "user": "repeater", "key": "once"}
    first = await stack.start(f"run-circuits/{QPU}", {"request": one})

    async def queued() -> bool:
        return (await stack.flow_run(first))["state"]["name"] == "Queued"

    await eventually(queued, "it does not wait")
    others = [await stack.start(f"run-circuits/{QPU}", {"request": one}) for _ in range(SEATS + 2)]

    async def all_wait_for_it() -> bool:
        states = [(await stack.flow_run(run))["state_type"] for run in others]
        return states.count("RUNNING") >= SEATS

    await eventually(all_wait_for_it, "they do not start")
    assert (await stack.run("--operator", "resume", QPU)).code == 0
    for run in (first, *others):
        assert (await stack.ended(run))["state_type"] == "COMPLETED"
    query = 'SELECT count(*) FROM jobs WHERE "user" = $1'
    assert await stack.value(query, "repeater") == 1


async def test_a_user_s_turn_comes_however_many_runs_another_has_started_in_prefect(
    stack: Installation,
) -> None:
    crowd = [await start(stack, "crowd", BELL, 100) for _ in range(CROWD)]
    one = request(BELL, 100, "late-comer").model_copy(update={"qpu": QPU})
    (job,) = await submitted(stack, "late-comer", one)
    await stack.all_ended([job])
    between = (
        "SELECT count(*) FROM jobs other, jobs own WHERE own.id = $1 AND other.\"user\" = 'crowd' "
        "AND other.finished_at BETWEEN own.created_at AND own.finished_at"
    )
    assert await stack.value(between, job) <= SEATS + 1
    for run in crowd:
        assert (await stack.ended(run))["state_type"] == "COMPLETED"


def most_at_once(runs: Iterable[dict[str, Any]]) -> int:
    begin_and_end = [
        change for run in runs for change in ((run["start_time"], 1), (run["end_time"], -1))
    ]
    return max(accumulate(change for _, change in sorted(begin_and_end)))


async def test_runs_that_only_have_something_left_to_show_keep_nobody_out(
    stack: Installation,
) -> None:
    assert (await stack.run("--operator", "pause", QPU, "Until all are there")).code == 0
    one = request(BELL, 100, "once").model_copy(update={"qpu": QPU, "key": None})
    many = [one] * MAX_PICTURES
    shown = [job for n in range(SEATS) for job in await submitted(stack, f"painter-{n}", *many)]
    assert (await stack.run("--operator", "resume", QPU)).code == 0
    await stack.all_ended(shown)
    late = [job for n in range(SEATS) for job in await submitted(stack, f"guest-{n}", one)]
    await stack.all_ended(late)
    query = (
        "SELECT DISTINCT c.flow_run_id FROM carriers c JOIN jobs j USING (batch_id) "
        "WHERE j.id = ANY($1)"
    )
    carried = await stack.rows(query, [*shown, *late])
    runs = [await stack.ended(str(row["flow_run_id"])) for row in carried]
    assert len(runs) == 2 * SEATS
    assert most_at_once(runs) > SEATS
