"""A run in the Prefect UI says why it waits, and when it is expected to start."""

from __future__ import annotations

from typing import Any

from tests.examples.expectations import EXAMPLES
from tests.system.installation import Installation, eventually
from tests.system.test_kills import running

QPU = "aer-heavyhex"
CARRIED = """
    SELECT c.flow_run_id FROM carriers c JOIN jobs j USING (batch_id)
    WHERE j.id = $1 AND c.flow_run_id IS NOT NULL
"""


async def submitted(stack: Installation, qpu: str) -> str:
    return (await stack.run("submit", EXAMPLES / "bell.qasm", "--qpu", qpu)).stdout.strip()


async def run_of(stack: Installation, job: str) -> str:
    async def run() -> list[dict[str, Any]]:
        return await stack.rows(CARRIED, job)

    (row,) = await eventually(run, "no run carries it", 60)
    return str(row["flow_run_id"])


async def says(stack: Installation, run: str, words: str) -> str:
    """Soon, whoever was first to create the run."""

    async def message() -> str | None:
        state = (await stack.flow_run(run))["state"]
        said = str(state["message"]) if state["name"] == "Queued" else ""
        return said if words in said else None

    return await eventually(message, f"it does not say {words!r}", 60)


async def test_a_run_that_cannot_start_yet_is_there_and_says_why(stack: Installation) -> None:
    booking = (await stack.run("--operator", "maintenance", QPU, "now", "+1h", "--json")).json
    job = await submitted(stack, QPU)
    message = await says(stack, await run_of(stack, job), "in maintenance until")
    ends = booking["ends_at"][:16].replace("T", " ")
    assert f"Expected start: {ends} UTC" in message
    assert (await stack.run("--operator", "release", booking["id"])).code == 0
    assert (await stack.run("result", job, "--wait")).code == 0


async def test_what_a_waiting_run_says_is_kept_up_to_date(stack: Installation) -> None:
    assert (await stack.run("--operator", "pause", QPU, "Cabling")).code == 0
    job = await submitted(stack, QPU)
    run = await run_of(stack, job)
    await says(stack, run, "Cabling")
    assert (await stack.run("--operator", "pause", QPU, "Warming up")).code == 0
    await says(stack, run, "Warming up")
    assert (await stack.run("--operator", "resume", QPU)).code == 0
    assert (await stack.run("result", job, "--wait")).code == 0


async def test_a_run_that_waits_for_a_lane_says_so_beside_its_progress(
    stack: Installation,
) -> None:
    long_ones = [(await running(stack, user, 60_000))[0] for user in ("first", "second")]
    job = await submitted(stack, "aer")
    run = await run_of(stack, job)

    async def notes() -> list[str]:
        shown = [one["description"] for one in await stack.artifacts(run)]
        return [words for words in shown if words and words.startswith("Waits: ")]

    (words,) = await eventually(notes, "the run does not say why it waits", 30)
    assert "Expected start: " in words
    for one in long_ones:
        assert (await stack.run("--operator", "cancel", one)).code == 0
    assert (await stack.run("result", job, "--wait")).code == 0

    async def done() -> bool:
        shown = [(one["description"], one["data"]) for one in await stack.artifacts(run)]
        return ("Jobs done", 100) in shown

    await eventually(done, "it says that it waits when it does not", 15)
