"""A run in the Prefect UI says why it waits, and when it is expected to start."""

from __future__ import annotations

from typing import Any

from tests.examples.expectations import EXAMPLES
from tests.system.installation import Installation, eventually

QPU = "aer-heavyhex"


async def test_a_run_that_waits_for_its_qpu_says_why_beside_its_progress(
    stack: Installation,
) -> None:
    booking = (await stack.run("--operator", "maintenance", QPU, "now", "+1h", "--json")).json
    job = (await stack.run("submit", EXAMPLES / "bell.qasm", "--qpu", QPU)).stdout.strip()

    async def run() -> Any:
        query = "SELECT c.flow_run_id FROM carriers c JOIN jobs j USING (batch_id) WHERE j.id = $1"
        return await stack.value(query, job)

    flow_run = str(await eventually(run, "no run carries it", 30))

    async def note() -> str | None:
        shown = [one["description"] for one in await stack.artifacts(flow_run)]
        return next((words for words in shown if words and words.startswith("Waits")), None)

    words = await eventually(note, "the run does not say why it waits", 60)
    ends = booking["ends_at"][:16].replace("T", " ")
    assert "in maintenance until" in words
    assert f"Expected start: {ends} UTC" in words
    assert (await stack.run("--operator", "release", booking["id"])).code == 0
    assert (await stack.run("result", job, "--wait")).code == 0

    async def forgotten() -> bool:
        return "Jobs done" in [one["description"] for one in await stack.artifacts(flow_run)]

    await eventually(forgotten, "it says that it waits when it does not", 15)
