"""How fast and how fair the queue is, through the whole local stack."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import partial

from bench.figures import Figure, collect
from bench.installation import Installation, installation
from bench.queue_depth import deep_queue
from bench.queue_fairness import booker_wait
from bench.queue_kills import executions
from bench.queue_speed import (
    burst,
    burst_of_many,
    closed_loop,
    idle_latency,
    memory,
    submit_ack,
)
from bench.queue_stock import stock_worker

MEASUREMENTS: dict[str, Callable[[Installation], Awaitable[list[Figure]]]] = {
    "idle_latency": idle_latency,
    "closed_loop": closed_loop,
    "submit_ack": submit_ack,
    "burst": burst,
    "burst_of_many": burst_of_many,
    "memory": memory,
    "stock_worker": stock_worker,
    "booker_wait": booker_wait,
    "executions": executions,
    "deep_queue": deep_queue,
}
"""In this order: the last one leaves a queue behind."""


async def measure(only: Collection[str] = ()) -> list[Figure]:
    async with installation() as running:
        here = {name: partial(measured, running) for name, measured in MEASUREMENTS.items()}
        return await collect(here, only)
