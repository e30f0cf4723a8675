"""Round trips of 1 kB between two processes, over the link of a rack: on cores that are awake, and
on cores that sleep whenever they may.

``python -m bench.rack_link ours|bare ADDRESS [KEYS]`` is the far side: ours, or NNG alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pynng
import uvloop

from bench.awake import awake
from bench.figures import Figure, quantile
from qpuflow.drivers.qblox.link.certificates import Keys, make_keys
from qpuflow.drivers.qblox.link.sockets import Asker, answer_all, tls_of

ROUNDS, FIRST = 1_000, 200
PAIRS = 7
"""Of processes: which core each of two happens to be on makes half of the figure."""
MESSAGE = bytes(1000)


async def link_ipc() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        names = count()
        return await _figures("ipc", "<= 0.15", lambda: f"ipc://{folder}/{next(names)}.sock")


async def link_tls() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        here, there = (make_keys(Path(folder, name)) for name in ("here", "there"))
        here.trust(there.certificate)
        there.trust(here.certificate)
        return await _figures(
            "tls", "<= 0.3", lambda: f"tls+tcp://127.0.0.1:{_free_port()}", here, there
        )


async def _figures(
    name: str,
    target: str,
    address: Callable[[], str],
    here: Keys | None = None,
    there: Keys | None = None,
) -> list[Figure]:
    asleep, ours, bare = list[float](), list[float](), list[float]()
    for _ in range(PAIRS):
        asleep += await _round_trips(address(), here, there)
        with awake():
            ours += await _round_trips(address(), here, there)
            bare += await _bare_round_trips(address(), here, there)
    return [
        Figure(f"link_{name}_p50_ms", quantile(ours, 0.5), "ms", target),
        Figure(f"link_{name}_bare_p50_ms", quantile(bare, 0.5), "ms"),
        Figure(f"link_{name}_asleep_p50_ms", quantile(asleep, 0.5), "ms"),
    ]


async def _round_trips(address: str, here: Keys | None, there: Keys | None) -> list[float]:
    far = await _far("ours", address, there)
    try:
        return await asyncio.to_thread(uvloop.run, _ask(address, here))  # as in a worker's engine
    finally:
        far.terminate()
        await far.wait()


async def _ask(address: str, keys: Keys | None) -> list[float]:
    asker = Asker(address, keys)
    milliseconds: list[float] = []
    try:
        for _ in range(FIRST + ROUNDS):
            began = time.perf_counter()
            await asker.ask(MESSAGE)
            milliseconds.append(1000 * (time.perf_counter() - began))
    finally:
        asker.close()
    return milliseconds[FIRST:]


async def _bare_round_trips(address: str, here: Keys | None, there: Keys | None) -> list[float]:
    """NNG with nothing of ours, and no event loop at either end: what there is to reach."""
    far = await _far("bare", address, there)
    try:
        return await asyncio.to_thread(_ask_bare, address, here)
    finally:
        far.terminate()
        await far.wait()


async def _far(kind: str, address: str, keys: Keys | None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.rack_link", kind, address),
        *([str(keys.folder)] if keys else []),
    )


def _ask_bare(address: str, keys: Keys | None) -> list[float]:
    milliseconds: list[float] = []
    with pynng.Req0(tls_config=tls_of(address, keys, server=False)) as socket:
        socket.dial(address, block=False)
        for _ in range(FIRST + ROUNDS):
            began = time.perf_counter()
            socket.send(MESSAGE)
            socket.recv()
            milliseconds.append(1000 * (time.perf_counter() - began))
    return milliseconds[FIRST:]


def _answer_bare(address: str, keys: Keys | None) -> None:
    with pynng.Rep0(tls_config=tls_of(address, keys, server=True)) as socket:
        socket.listen(address)
        while True:
            socket.send(socket.recv())


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _echo(request: bytes) -> bytes:
    return request


if __name__ == "__main__":
    _, kind, far_address, *folders = sys.argv
    its_keys = Keys(Path(folders[0])) if folders else None
    with contextlib.suppress(KeyboardInterrupt):
        if kind == "bare":
            _answer_bare(far_address, its_keys)
        uvloop.run(answer_all(far_address, its_keys, _echo))
