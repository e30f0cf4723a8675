"""A worker outside of the stack, as somebody starts it beside their QPU."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.installation import Installation

START = """
import signal, sys
from prefect.cli import app
# Whatever started the tests: from a script's background a process ignores it, and never stops.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[0] = "prefect"
app()
"""
STOP_SECONDS = 30.0


@dataclass
class OwnWorker:
    """`prefect ARGUMENTS...` for the stack; `environment` is its own."""

    stack: Installation
    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    first: str = ""
    """Python that the process runs before."""
    processes: list[asyncio.subprocess.Process] = field(
        default_factory=list[asyncio.subprocess.Process]
    )

    @property
    def process(self) -> asyncio.subprocess.Process:
        return self.processes[-1]

    async def start(self) -> None:
        with self.log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", self.first + START, *self.arguments),
                env={
                    **os.environ,
                    **self.stack.environment,
                    "QPUFLOW_HOME": str(self.stack.home),
                    "PREFECT_API_URL": self.stack.endpoints.prefect_api_url,
                    **self.environment,
                },
                cwd=self.log.parent,
                stdout=output,
                stderr=output,
            )
        self.processes.append(process)

    async def kill(self) -> None:
        """With -9. What it started notices by itself."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        if self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        except TimeoutError:
            await self.kill()
