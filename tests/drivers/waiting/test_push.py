"""Being told by a real websocket that drops, falls silent or is not there."""

from __future__ import annotations

import asyncio

import pytest

from qpuflow.domain.errors import Unavailable
from qpuflow.drivers.base import RemoteState, RemoteStatus
from qpuflow.drivers.waiting import (
    Opening,
    Pace,
    Polling,
    Pushing,
    forward,
    pushed,
    pushed_else_polled,
)
from tests.drivers.waiting.lines import Line, line, read

BRISK = Pushing(silence_seconds=5, reconnects=3, reconnect_seconds=0.01)
POLLING = Polling(Pace(first_seconds=0.02, growth=1.0))


async def told_states(told: Line, pushing: Pushing = BRISK) -> list[RemoteState]:
    statuses = forward(pushed(told.open, read, told.ask, pushing))
    return [status.state async for status in statuses]


async def test_it_hears_what_is_told_and_asks_only_once() -> None:
    async with line() as told:
        told.plays.append(("running", "completed"))
        # What the answer says is news only when it comes first.
        assert (await told_states(told))[-2:] == ["running", "completed"]
        assert told.asked <= 1
        assert told.hellos == ["hello"]


async def test_what_happened_before_the_connection_is_not_missed() -> None:
    async with line(state="completed") as told:
        told.plays.append(("hang",))
        assert await told_states(told) == ["completed"]


async def test_what_happened_while_the_connection_was_lost_is_not_missed() -> None:
    async with line(state="completed") as told:
        told.replies.append("running")
        told.plays.extend([("drop",), ("hang",)])
        assert await told_states(told) == ["running", "completed"]


async def test_each_connection_has_a_token_of_its_own() -> None:
    async with line() as told:
        told.plays.extend([("running", "drop"), ("completed",)])
        await told_states(told)
        assert told.tokens == ["token-0", "token-1"]


async def test_a_socket_that_says_nothing_is_not_trusted() -> None:
    async with line() as told:
        told.plays.append(("hang",))
        told.replies.extend(["queued", "completed"])
        assert await told_states(told, Pushing(silence_seconds=0.1)) == ["queued", "completed"]


async def test_it_hears_the_end_while_it_has_no_answer_yet() -> None:
    """With a thousand jobs an answer has to wait for its turn."""
    async with line() as told:
        told.plays.append(("running", "completed"))

        async def ask() -> RemoteStatus | None:
            await asyncio.sleep(3600)
            return None

        source = forward(pushed(told.open, read, ask, BRISK))
        async with asyncio.timeout(10):
            assert [status.state async for status in source] == ["running", "completed"]


async def test_an_answer_that_is_not_to_be_had_is_no_reason_to_leave() -> None:
    async with line() as told:
        told.plays.append(("running", "hang"))
        told.replies.extend([503, "completed"])
        states = await told_states(told, Pushing(silence_seconds=0.2))
        assert states == ["running", "completed"]
        assert len(told.tokens) == 1


async def test_what_had_ended_before_needs_no_connection() -> None:
    async with line() as told:

        async def opening() -> Opening:
            return Opening(told.uri, status=RemoteStatus(RemoteState.COMPLETED))

        source = forward(pushed(opening, read, told.ask, BRISK))
        assert [status.state async for status in source] == ["completed"]
        assert (told.tokens, told.asked) == ([], 0)


async def test_a_socket_that_drops_again_and_again_is_given_up() -> None:
    async with line() as told:
        told.plays.extend([("drop",)] * 10)
        with pytest.raises(Unavailable, match="websocket is lost"):
            await told_states(told)
        assert len(told.tokens) == 4


async def test_while_the_websocket_is_lost_it_polls_and_then_returns() -> None:
    async with line() as told:
        told.plays.extend([("drop",)] * 4)
        told.plays.append(("running", "completed"))
        pushing = Pushing(reconnects=3, reconnect_seconds=0.01, polling_seconds=0.5)
        source = pushed_else_polled(told.open, read, told.ask, pushing, POLLING)
        states = [status.state async for status in forward(source)]
        assert states == ["queued", "running", "completed"]
        assert told.asked > 5, "it polled in between"
        assert len(told.tokens) == 5


async def test_where_there_is_no_websocket_polling_does_it_all() -> None:
    async with line() as told:
        told.replies.extend(["queued"] * 3 + ["running", "completed"])

        async def none_to_be_had() -> None:
            raise Unavailable("No websocket here")

        source = pushed_else_polled(none_to_be_had, read, told.ask, Pushing(), POLLING)  # pyright: ignore[reportArgumentType]  it never returns
        assert [status.state async for status in forward(source)][-1] == "completed"


async def test_whoever_stops_listening_leaves_no_socket_behind() -> None:
    async with line() as told:
        told.plays.append(("running", "hang"))
        async for status in (source := pushed(told.open, read, told.ask, BRISK)):
            if status.state is RemoteState.RUNNING:
                break
        await asyncio.wait_for(source.aclose(), 5)
