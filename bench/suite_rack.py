"""How fast a Qblox rack is: its link, one job's overhead, and a queue that never ends."""

from __future__ import annotations

from collections.abc import Collection

from bench.figures import Figure, collect
from bench.rack_jobs import bell_overhead, busy_fraction, many_shots, recompile
from bench.rack_link import link_ipc, link_tls

MEASUREMENTS = {
    "link_ipc": link_ipc,
    "link_tls": link_tls,
    "recompile": recompile,
    "shots_100k": many_shots,
    "bell_overhead": bell_overhead,
    "busy_fraction": busy_fraction,
}


async def measure(only: Collection[str] = ()) -> list[Figure]:
    return await collect(MEASUREMENTS, only)
