"""Round trips of 1 kB between two processes, over the link of a rack.

``python -m bench.rack_link ADDRESS [KEYS]`` is the far side; ``bare ADDRESS`` one of NNG alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import tempfile
import time
from pathlib import Path

import pynng
import uvloop

from bench.figures import Figure, quantile
from qpuflow.drivers.qblox.link.certificates import Keys, make_keys
from qpuflow.drivers.qblox.link.sockets import Asker, answer_all

ROUNDS, FIRST = 2_000, 200
MESSAGE = bytes(1000)


async def link_ipc() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        milliseconds = await _round_trips(f"ipc://{folder}/echo.sock", None, None)
        floor = await _bare_round_trips(f"ipc://{folder}/bare.sock")
    return [
        Figure("link_ipc_p50_ms", quantile(milliseconds, 0.5), "ms", "<= 0.15"),
        Figure("link_ipc_bare_p50_ms", quantile(floor, 0.5), "ms"),
    ]


async def link_tls() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        here, there = (make_keys(Path(folder, name)) for name in ("here", "there"))
        here.trust(there.certificate)
        there.trust(here.certificate)
        milliseconds = await _round_trips(f"tls+tcp://127.0.0.1:{_free_port()}", here, there)
    return [Figure("link_tls_p50_ms", quantile(milliseconds, 0.5), "ms", "<= 0.3")]


async def _round_trips(address: str, here: Keys | None, there: Keys | None) -> list[float]:
    far = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.rack_link", address),
        *([str(there.folder)] if there else []),
    )
    asker = Asker(address, here)
    milliseconds: list[float] = []
    try:
        for _ in range(FIRST + ROUNDS):
            began = time.perf_counter()
            await asker.ask(MESSAGE)
            milliseconds.append(1000 * (time.perf_counter() - began))
    finally:
        asker.close()
        far.terminate()
        await far.wait()
    return milliseconds[FIRST:]


async def _bare_round_trips(address: str) -> list[float]:
    """NNG with nothing of ours, and no event loop at either end: what there is to reach."""
    far = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.rack_link", "bare", address)
    )
    try:
        return await asyncio.to_thread(_ask_bare, address)
    finally:
        far.terminate()
        await far.wait()


def _ask_bare(address: str) -> list[float]:
    milliseconds: list[float] = []
    with pynng.Req0(dial=address, block_on_dial=False) as socket:
        for _ in range(FIRST + ROUNDS):
            began = time.perf_counter()
            socket.send(MESSAGE)
            socket.recv()
            milliseconds.append(1000 * (time.perf_counter() - began))
    return milliseconds[FIRST:]


def _answer_bare(address: str) -> None:
    with pynng.Rep0(listen=address) as socket:
        while True:
            socket.send(socket.recv())


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


async def _echo(request: bytes) -> bytes:
    return request


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        if sys.argv[1] == "bare":
            _answer_bare(sys.argv[2])
        keys = Keys(Path(sys.argv[2])) if len(sys.argv) > 2 else None
        uvloop.run(answer_all(sys.argv[1], keys, _echo))
