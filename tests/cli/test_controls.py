"""A booker, a stranger and an operator on one machine: each sees why they wait."""

from __future__ import annotations

from tests.examples.expectations import EXAMPLES
from tests.system.installation import Installation

QPU = "aer-heavyhex"
BELL = EXAMPLES / "bell.qasm"


async def test_a_paused_qpu_tells_who_waits_and_goes_on_when_it_is_resumed(
    stack: Installation,
) -> None:
    refused = await stack.run("pause", QPU, "helium")
    assert (refused.code, "Ask an operator" in refused.message) == (2, True)
    assert (await stack.run("--operator", "pause", QPU, "helium")).code == 0
    assert "paused" in (await stack.run("qpus")).stdout
    job = (await stack.run("submit", BELL, "--qpu", QPU)).stdout.strip()
    status = (await stack.run("status", job, "--json")).json
    assert status["waits_because"] == f"{QPU} is paused: helium (alice)"
    assert "waits because" in (await stack.run("status", job)).stdout
    assert (await stack.run("--operator", "resume", QPU)).code == 0
    assert (await stack.run("result", job, "--wait")).code == 0
    assert (await stack.run("status", job, "--json")).json["waits_because"] is None
    done = (await stack.run("controls", QPU, "--json")).json
    assert [(one["actor"], one["after"], one["reason"]) for one in done[:2]] == [
        ("alice", "open", None),
        ("alice", "paused", "helium"),
    ]
    assert "helium" in (await stack.run("controls", QPU)).stdout
    assert "no QPU 'nowhere'" in (await stack.run("controls", "nowhere")).message


async def test_a_drained_qpu_takes_no_jobs(stack: Installation) -> None:
    assert (await stack.run("--operator", "drain", QPU, "moving house")).code == 0
    refused = await stack.run("submit", BELL, "--qpu", QPU)
    assert refused.code == 3
    assert "moving house" in refused.message
    assert (await stack.run("--operator", "resume", QPU)).code == 0


async def test_a_stranger_waits_for_a_booking_and_the_booker_does_not(
    stack: Installation,
) -> None:
    booking = (await stack.run("--operator", "maintenance", QPU, "now", "+1h", "--json")).json
    job = (await stack.run("submit", BELL, "--qpu", QPU, "--key", "patient")).stdout.strip()
    status = (await stack.run("status", job, "--json")).json
    assert "in maintenance until" in status["waits_because"]
    assert status["expected_start_at"][:16] == booking["ends_at"][:16]
    assert (await stack.run("--operator", "release", booking["id"])).code == 0
    assert (await stack.run("result", job, "--wait")).code == 0

    mine = (await stack.run("--user", "bob", "book", QPU, "now", "+1h", "--json")).json
    own = await stack.run("--user", "bob", "submit", BELL, "--qpu", QPU, "--wait")
    assert own.code == 0
    assert (await stack.run("--user", "bob", "release", mine["id"])).code == 0
    moved = await stack.run("--operator", "move-up", "patient", "--note", "late")
    assert "waits no longer" in moved.message
