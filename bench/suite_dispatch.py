"""How often a job is submitted when one question about its state fails, here and by a peer.

Both submit one Bell pair to a fake IBM Quantum of their own, whose answer to the first question
about the job is a 500. The cloud's own books say how often it was submitted.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from pydantic import SecretStr

from bench.figures import Figure, collect
from bench.installation import installation, request, worker
from qpuflow.blocks import IbmCredentials, IbmQpu
from qpuflow.drivers.fake_clouds import Books, Fault, Kind
from qpuflow.drivers.fake_clouds.ibm import BACKEND, CRN
from qpuflow.drivers.fake_clouds.ibm.served import IbmAt, ibm_served

QPU = "fake-ibm"
QUEUE_SECONDS = 2.0
"""So that its state is asked for more than once."""
PEER = (
    "prefect-qiskit==0.2.0",
    "prefect==3.8.8",
    "qiskit-ibm-runtime<0.42",  # 0.51 has no utils.result_decoder, which it imports
    "fastapi<0.151",  # newer: Prefect's server does not start
    "sqlalchemy<2.1",
)
"""The newest that works, and what it takes to have it work."""
PEER_SECONDS = 300.0
PEER_ENVIRONMENT = {
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
}


async def qpuflow() -> list[Figure]:
    """Through the whole stack: submitted, carried by a worker, waited for."""
    async with installation(workers=()) as bench:
        with ibm_served() as at:
            _spoil(at)
            block = IbmQpu(
                settings=at.settings(), credentials=IbmCredentials(token=SecretStr("any"))
            )
            await bench.add_qpu(QPU, block)
            async with worker(bench, QPU):
                receipt = await bench.connection.submit(request(shots=100, qpu=QPU))
                report = await bench.connection.wait(receipt.job_id, 180)
            assert report.programs, report.reason
            return [_figure("submits_after_failed_poll", at, "== 1")]


async def peer() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="qpuflow-peer-") as folder:
        python = await asyncio.to_thread(_environment, Path(folder))
        with ibm_served() as at:
            _spoil(at)
            counts = await asyncio.to_thread(_run_peer, python, Path(folder), at)
            assert sum(counts.values()) > 0
            return [_figure("peer_submits_after_failed_poll", at)]


MEASUREMENTS = {"qpuflow": qpuflow, "peer": peer}


async def measure(only: Collection[str] = ()) -> list[Figure]:
    return await collect(MEASUREMENTS, only)


def _spoil(at: IbmAt) -> None:
    at.cloud.backlog.queue_seconds = QUEUE_SECONDS
    at.cloud.weather.next("job", Fault.BROKEN_BEFORE)


def _figure(name: str, at: IbmAt, target: str | None = None) -> Figure:
    assert at.cloud.weather.struck == [("job", Fault.BROKEN_BEFORE)], "nothing went wrong"
    return Figure(name, _submitted(at.cloud.books), "submissions", target)


def _submitted(books: Books) -> int:
    return books.count(Kind.SUBMITTED).total()


def _environment(folder: Path) -> Path:
    """Of its own: what it needs excludes what we need."""
    uv, python = Path(sys.executable).with_name("uv"), folder / "venv/bin/python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", python, *PEER]
    subprocess.run(install, check=True)
    return python


def _run_peer(python: Path, folder: Path, at: IbmAt) -> dict[str, int]:
    script = Path(__file__).with_name("dispatch_peer.py")
    known = {name: value for name, value in os.environ.items() if "PREFECT_" not in name}
    done = subprocess.run(
        [python, script, f"{at.url}/api/v1", at.url, CRN, BACKEND],
        env={**known, **PEER_ENVIRONMENT, "PREFECT_HOME": str(folder / "prefect")},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PEER_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])
