"""How fast a Qblox rack is: its link, one job's overhead, and a queue that never ends."""

from __future__ import annotations

from collections.abc import Collection

from bench.figures import Figure
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
    figures: list[Figure] = []
    for name in [name for name in MEASUREMENTS if not only or name in only]:
        print(f"{name} ...", flush=True)
        figures += await MEASUREMENTS[name]()
    return figures
