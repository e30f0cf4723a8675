"""Of several changes of a task run in a moment Prefect's server hears of the last."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

from prefect.events.schemas.events import Event, Resource

from qpuflow.deployments.worker.state_changes import last_changes
from tests.system.installation import Installation, eventually
from tests.worker.workers import Site, Started, Worker


def event(state: str, run: str = "one", follows: Event | None = None) -> Event:
    kind = "flow-run" if run == "flow" else "task-run"
    resource = Resource({"prefect.resource.id": f"prefect.{kind}.{run}"})
    before = follows.id if follows else None
    return Event(event=f"prefect.{kind}.{state}", resource=resource, id=uuid4(), follows=before)


def way(*states: str, run: str = "one", after: Event | None = None) -> list[Event]:
    made = list[Event]()
    for state in states:
        made.append(event(state, run, made[-1] if made else after))
    return made


def sent(events: list[Event]) -> list[tuple[str, UUID | None]]:
    return [(one.event.rsplit(".", 1)[1], one.follows) for one in last_changes(events)]


def test_a_step_of_a_moment_is_told_of_once() -> None:
    assert sent(way("Pending", "Running", "Completed")) == [("Completed", None)]


def test_what_is_left_follows_what_was_sent_before() -> None:
    earlier = event("Running")
    changes = way("AwaitingRetry", "Retrying", "Completed", after=earlier)
    assert sent(changes) == [("Completed", earlier.id)]


def test_steps_stay_in_the_order_of_their_last_changes() -> None:
    first, second = way("Pending", "Running", run="a"), way("Pending", "Running", run="b")
    last = event("Completed", "a", first[-1])
    told = last_changes([*first, *second, last])
    assert [(one.event, one.resource.id) for one in told] == [
        ("prefect.task-run.Running", "prefect.task-run.b"),
        ("prefect.task-run.Completed", "prefect.task-run.a"),
    ]


def test_all_that_a_flow_run_does_is_told() -> None:
    changes = way("heartbeat", "heartbeat", "Completed", run="flow")
    assert last_changes(changes) == changes


def test_what_follows_another_than_the_one_that_is_there_takes_nothing_away() -> None:
    lost = event("Pending")
    changes = [event("Running"), event("Completed", follows=lost)]
    assert sent(changes)[-1] == ("Completed", lost.id)


async def told_of(stack: Installation, run: Started) -> dict[str, list[dict[str, Any]]]:
    """The task runs' events, by task run, the oldest first."""
    related = {"id": [f"prefect.flow-run.{run.id}"]}
    only = {"related": related, "event": {"prefix": ["prefect.task-run."]}, "order": "ASC"}
    found = await stack.prefect("POST", "/events/filter", {"filter": only, "limit": 50})
    by_run = defaultdict[str, list[dict[str, Any]]](list)
    for one in found["events"]:
        by_run[one["resource"]["prefect.resource.name"]].append(one)
    return by_run


async def test_prefect_shows_short_steps_whole_and_long_ones_as_they_begin(
    stack: Installation, site: Site, worker: Worker
) -> None:
    run = await site.start("takes_steps")
    await run.ends("Completed")

    async def all_told() -> list[list[dict[str, Any]]] | None:
        found = list((await told_of(stack, run)).values())
        ends = [one[-1]["event"] for one in found]
        return found if ends == ["prefect.task-run.Completed"] * 3 else None

    *short, long = await eventually(all_told, "not all steps are told of", 20)
    # Twice a second what there is is sent: of two steps in a row that parts one at most.
    assert sorted(len(one) for one in short) in ([1, 1], [1, 2])
    assert [one["event"] for one in long] == ["prefect.task-run.Running", long[-1]["event"]]
    assert all(later["follows"] == earlier["id"] for earlier, later in pairwise(long))

    async def task_runs() -> list[dict[str, Any]] | None:
        only = {"flow_runs": {"id": {"any_": [run.id]}}}
        found = await stack.prefect("POST", "/task_runs/filter", only)
        return found if [one["state_name"] for one in found] == ["Completed"] * 3 else None

    for one in await eventually(task_runs, "not all steps are shown as completed", 20):
        assert one["start_time"] < one["end_time"]
        assert one["run_count"] == 1
        assert one["total_run_time"] > 0.1


async def test_a_short_run_has_no_heartbeat_that_says_only_that_it_runs(
    stack: Installation, site: Site, worker: Worker
) -> None:
    run = await site.start("takes_steps")
    await run.ends("Completed")
    own = {"resource": {"id": [f"prefect.flow-run.{run.id}"]}}

    async def told() -> list[str] | None:
        found = await stack.prefect("POST", "/events/filter", {"filter": own, "limit": 50})
        names = [one["event"].rsplit(".", 1)[1] for one in found["events"]]
        return names if "Completed" in names else None

    names = await eventually(told, "its end is not told of", 20)
    assert "Running" in names
    assert "heartbeat" not in names
