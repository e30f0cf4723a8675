"""The way of docs/racks.md from the box to the first booked job, walked on the dummy cluster."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from qpuflow.deployments.stack import shipped_rack
from qpuflow.domain.settings import Settings
from tests.system.installation import COMMAND, Installation, eventually
from tests.system.own_worker import OwnWorker

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/racks.md").read_text(encoding="utf-8")
WAY = GUIDE.split("## From the box")[1].split("### As services")[0]
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_HERE = ("sudo", "export", "qblox-", "qpuflow up", "eval")
"""What needs root, a cluster in the network, or was done when the tests began."""


class Walk:
    """What a reader types, in a folder of theirs, in the order of the page."""

    def __init__(self, stack: Installation, folder: Path, running: AsyncExitStack) -> None:
        self._stack = stack
        self._folder = folder
        self._running = running
        self.done: list[str] = []

    async def python(self, code: str) -> None:
        code = code.replace("/var/lib/qpuflow", str(self._folder))
        environment = {"PREFECT_API_URL": self._stack.endpoints.prefect_api_url}
        answer = await self._stack.python(code, environment=environment)
        assert answer.code == 0, answer.stderr

    async def type(self, line: str) -> None:
        line = line.replace("/usr/local/src/qpuflow", str(ROOT))
        program, *words = shlex.split(line, comments=True)
        match program, *words[:2]:
            case "prefect", *_:
                worker = OwnWorker(self._stack, words, {}, self._folder / "worker.log")
                self._running.push_async_callback(worker.stop)
                await worker.start()
            case "qpuflow", "rack", "serve":
                await self._serve(words)
            case "qpuflow", "release", "BOOKING":
                (booking,) = (await self._stack.run("bookings", "chip-7", "--json")).json
                await self._run(["release", booking["id"]])
            case "qpuflow", *_:
                await self._run(words)
            case _:
                pytest.fail(f"Nobody has tried this: {line}")
        self.done.append(" ".join([program, *words[:2]]))

    async def _run(self, words: Sequence[str]) -> None:
        answer = await self._stack.run(*words, cwd=self._folder)
        assert answer.code == 0, (words, answer)

    async def _serve(self, words: Sequence[str]) -> None:
        daemon = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", COMMAND, *words), cwd=self._folder, env={**os.environ}
        )

        async def stop() -> None:
            daemon.terminate()
            await daemon.wait()

        self._running.push_async_callback(stop)

        async def listens() -> bool:
            assert daemon.returncode is None
            return (self._folder / "chip-7" / "rack.sock").exists()

        await eventually(listens, "the daemon does not listen")


async def test_the_way_leads_to_the_first_booked_job(stack: Installation, tmp_path: Path) -> None:
    async with AsyncExitStack() as running:
        walk = Walk(stack, tmp_path, running)
        for language, text in BLOCK.findall(WAY):
            if language == "python":
                await walk.python(text)
                continue
            for line in text.splitlines():
                if not (typed := line.removeprefix("$ ")).startswith(NOT_HERE):
                    await walk.type(typed)
        # Whoever looks at the QPUs later shall find somebody there.
        address = shipped_rack.address(Settings(home=stack.home))
        (save,) = [text for language, text in BLOCK.findall(WAY) if language == "python"]
        save = re.sub(r'"ipc://[^"]*"', repr(address), save)
        await walk.python(save.replace('"chip-7"', '"chip-7", overwrite=True'))
    assert walk.done[0] == "qpuflow rack new"
    assert "qpuflow submit" in walk.done[-3]
    (job,) = await stack.rows("SELECT id, state FROM jobs WHERE qpu = 'chip-7'")
    assert job["state"] == "completed"
    booked = "SELECT state FROM bookings WHERE qpu = 'chip-7'"
    assert await stack.value(booked) == "released"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_the_services_of_the_guide_are_sound(tmp_path: Path) -> None:
    units = re.findall(r"^```ini\n# \S+/(\S+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert len(units) == 3
    files = [tmp_path / name for name, _ in units]
    for file, (_, text) in zip(files, units, strict=True):
        file.write_text(text.replace("/opt/qpuflow/bin", str(Path(sys.executable).parent)))
    verified = subprocess.run(
        ["systemd-analyze", "verify", *map(str, files)], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
