"""Booking time from a terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.system.installation import Installation

QPU = "aer-heavyhex"
DAY = f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}"
BERLIN = {"QPUFLOW_TIME_ZONE": "Europe/Berlin"}


async def test_a_booking_from_made_to_cancelled(stack: Installation, tmp_path: Path) -> None:
    made = (await stack.run("book", QPU, f"{DAY}T14:00Z", "+2h", "--note", "T1", "--json")).json
    assert (made["project"], made["note"]) == ("alice", "T1")
    taken = await stack.run("--user", "bob", "book", QPU, f"{DAY}T15:00Z", "+2h")
    assert taken.code == 2
    assert f"is taken: the booking {made['id'][:8]} of alice" in taken.message
    other = await stack.run("--user", "bob", "cancel-booking", made["id"][:8])
    assert "'bob' may not change" in other.message

    file = tmp_path / "bookings.ics"
    assert (await stack.run("bookings", QPU, "--ical", file)).code == 0
    assert f"UID:{made['id']}@qpuflow" in file.read_text()
    assert (await stack.run("import-bookings", QPU, file)).code == 0
    assert len((await stack.run("bookings", QPU, "--json")).json) == 1

    moved = await stack.run("change-booking", made["id"][:8], f"{DAY}T10:00Z", f"{DAY}T11:00Z")
    assert f"Changed {QPU} from {DAY} 10:00" in moved.stdout
    shown = await stack.run("bookings", environment=BERLIN)
    assert " CET" in shown.stdout or " CEST" in shown.stdout
    early = await stack.run("release", made["id"])
    assert f"`qpuflow cancel-booking {made['id'][:8]}`" in early.message
    assert "Cancelled" in (await stack.run("cancel-booking", made["id"])).stdout
    assert (await stack.run("bookings", QPU, "--json")).json == []


async def test_a_booking_that_runs_is_released(stack: Installation) -> None:
    made = (await stack.run("book", QPU, "now", "+1h", "--json")).json
    assert "Released" in (await stack.run("release", made["id"][:8])).stdout
    assert (await stack.run("bookings", QPU, "--json")).json == []


async def test_maintenance_is_for_operators(stack: Installation) -> None:
    refused = await stack.run("maintenance", QPU, f"{DAY}T01:00Z", "+1h")
    assert (refused.code, "Ask an operator" in refused.message) == (2, True)
    made = await stack.run("--operator", "maintenance", QPU, f"{DAY}T01:00Z", "+1h", "--json")
    assert made.json["kind"] == "maintenance"
    await stack.run("--operator", "cancel-booking", made.json["id"])


async def test_times_that_are_none_say_what_is(stack: Installation) -> None:
    for start, end in (("tomorrow", "+1h"), ("now", "+1 hour"), ("+1h", "now")):
        answer = await stack.run("book", QPU, start, end)
        assert answer.code == 2
        assert answer.message.startswith("error: ")
