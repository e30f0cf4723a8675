"""What is wrong with an installation, and how to mend it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tomllib
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import httpx
from pydantic import BaseModel, ConfigDict

from qpuflow.deployments.stack import postgres
from qpuflow.domain.endpoints import Endpoints, find_endpoints, find_record
from qpuflow.domain.errors import QpuflowError
from qpuflow.domain.misspelled import misspelled
from qpuflow.domain.settings import Settings
from qpuflow.flows.open_ledger import open_ledger
from qpuflow.ledger import qpus
from qpuflow.ledger.qpus import RegisteredQpu

LEAST_FREE_BYTES = 1_000_000_000
EXTRAS = {
    "aer": "qiskit_aer",
    "ibm": "qiskit_ibm_runtime",
    "quantinuum": "pytket.extensions.quantinuum",
    "braket": "braket.aws",
    "qblox": "qblox_instruments",
}


class Finding(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(frozen=True)

    subject: str
    is_good: bool
    finding: str
    remedy: str | None = None


async def examine(settings: Settings) -> list[Finding]:
    """Everything, whatever the earlier findings were."""
    found = list(_machine(settings))
    if settings.database_url is None:
        found.append(await _postgres())
    return [*found, *[one async for one in _stack(settings)]]


def _machine(settings: Settings) -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding(subject="Python", is_good=sys.version_info >= (3, 11), finding=version)
    yield _settings()
    yield _home(settings)
    yield from _extras()


def _settings() -> Finding:
    file = Path("qpuflow.toml")
    found = misspelled(os.environ, tomllib.loads(file.read_text()) if file.exists() else ())
    if not found:
        return Finding(subject="Settings", is_good=True, finding="all of them are known")
    guesses = ", ".join(f"{meant} for {name}" for name, meant in found.items() if meant)
    return Finding(
        subject="Settings",
        is_good=False,
        finding=f"{', '.join(found)}: there is no such setting, and nothing reads it",
        remedy=f"Probably {guesses}." if guesses else "docs/operations.md has them all.",
    )


def _home(settings: Settings) -> Finding:
    place = settings.root
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        return Finding(
            subject="Home",
            is_good=False,
            finding=f"{settings.root} cannot be written",
            remedy="Set QPUFLOW_HOME to a folder of yours.",
        )
    free = shutil.disk_usage(place).free
    return Finding(
        subject="Home",
        is_good=free > LEAST_FREE_BYTES,
        finding=f"{settings.root}, {free / 1e9:.1f} GB free",
        remedy=None if free > LEAST_FREE_BYTES else "Free some space, or move QPUFLOW_HOME.",
    )


def _extras() -> Iterator[Finding]:
    installed = [name for name, module in EXTRAS.items() if _importable(module)]
    yield Finding(
        subject="Extras",
        is_good="aer" in installed,
        finding=", ".join(installed) or "none",
        remedy=None if "aer" in installed else "pip install 'qpuflow[aer]'",
    )


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


async def _postgres() -> Finding:
    try:
        await postgres.require_runnable()
    except QpuflowError as error:
        return _bad("Embedded PostgreSQL", error)
    return Finding(subject="Embedded PostgreSQL", is_good=True, finding="can run here")


async def _stack(settings: Settings) -> AsyncIterator[Finding]:
    record = find_record(settings)
    for part in record.parts if record else ():
        good = part.phase in ("ready", "stopped")
        again = f", restarted {part.restarts} times" if part.restarts else ""
        yield Finding(
            subject=f"Part {part.name}",
            is_good=good,
            finding=part.phase + again,
            remedy=None if good else f"See `qpuflow logs {part.name}`.",
        )
    try:
        endpoints = find_endpoints(settings)
    except QpuflowError as error:
        yield _bad("Stack", error)
        return
    for finding in await _ledger(settings):
        yield finding
    yield await _prefect(endpoints)


async def _ledger(settings: Settings) -> list[Finding]:
    try:
        async with open_ledger(settings) as ledger, ledger.begin() as session:
            known = list(await qpus.every(session))
    except QpuflowError as error:
        return [_bad("Ledger", error)]
    names = ", ".join(qpu.name for qpu in known) or "none"
    ledger_is_there = Finding(subject="Ledger", is_good=True, finding=f"QPUs: {names}")
    return [ledger_is_there, *_warned(known)]


def _warned(known: Iterable[RegisteredQpu]) -> Iterator[Finding]:
    """QPUs that say what stops them, or will: a certificate or a password that ends."""
    for qpu in known:
        if qpu.status_reason:
            yield Finding(
                subject=f"QPU {qpu.name}",
                is_good=False,
                finding=qpu.status_reason,
                remedy="docs/racks.md and docs/clouds.md say how keys are renewed; what is mended "
                "shows with the next run of `sync-devices/system`.",
            )


async def _prefect(endpoints: Endpoints) -> Finding:
    """Asks for data: the health address says yes even when Prefect's database is gone."""
    try:
        async with httpx.AsyncClient(timeout=10) as client:
            answer = await client.post(f"{endpoints.prefect_api_url}/deployments/count", json={})
            answer.raise_for_status()
    except httpx.HTTPError as error:
        return Finding(
            subject="Prefect",
            is_good=False,
            finding=f"{endpoints.prefect_api_url} does not answer: {error}",
            remedy="See `qpuflow logs prefect-server`, or start the stack: `qpuflow up`.",
        )
    return Finding(
        subject="Prefect",
        is_good=answer.json() > 0,
        finding=f"{endpoints.ui_url}, {answer.json()} deployments",
        remedy=None if answer.json() else "Run `qpuflow up`, which creates them.",
    )


def _bad(subject: str, error: QpuflowError) -> Finding:
    return Finding(subject=subject, is_good=False, finding=error.what, remedy=error.remedy)
