"""What is done after a test that failed, so that the next finds the stack as it was."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from qpuflow.client import connect
from qpuflow.domain import calendars
from qpuflow.domain.settings import Settings
from tests.examples.expectations import EXAMPLES
from tests.system.aftermath import clear, last_words
from tests.system.installation import Installation
from tests.system.test_kills import BELL, request, running, submitted

LONG_SHOTS = 600_000
OTHER = "aer-heavyhex"


@asynccontextmanager
async def vendors_line(stack: Installation) -> AsyncGenerator[None]:
    """A time that the vendor has closed, which nobody here can give up."""
    async with connect(Settings(home=stack.home, user="olga", operator=True)) as connection:
        window = await connection.bookings.maintenance(OTHER, "+48h", "+1h")
        await connection.bookings.cancel(window.id)
        content, nothing = (calendars.export(some, window.starts_at) for some in ([window], []))
        assert await connection.bookings.replace_calendar(OTHER, "vendor", content)
        yield
        assert not await connection.bookings.replace_calendar(OTHER, "vendor", nothing)


async def test_nothing_is_left_of_what_a_failed_test_had_begun(stack: Installation) -> None:
    job, run = await running(stack, "leaver", LONG_SHOTS)
    assert (await stack.run("--operator", "pause", OTHER, "Cabling")).code == 0
    assert (await stack.run("--operator", "maintenance", OTHER, "now", "+1h")).code == 0
    (held,) = await submitted(
        stack, "leaver", request(BELL, 10, "held").model_copy(update={"qpu": OTHER})
    )
    async with vendors_line(stack):
        await clear(stack)
    for one in (job, held):
        assert (await stack.job(one))["state"] == "cancelled"
    assert (await stack.ended(run))["state_type"] in ("CANCELLED", "COMPLETED")
    assert (await stack.run("submit", EXAMPLES / "bell.qasm", "--qpu", OTHER, "--wait")).code == 0


def test_the_last_words_are_those_of_every_part_that_said_something(stack: Installation) -> None:
    assert "supervisor.log:\n" in (said := last_words(stack.home / "logs"))
    assert "stack ready" in said
