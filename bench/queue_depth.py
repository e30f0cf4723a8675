"""A queue of 10,000: 5,000 single-job runs and 5,000 batched jobs of 1,000 users."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager

import httpx
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from bench.figures import Figure, quantile
from bench.installation import Installation, request
from qpuflow.client.connection import connect
from qpuflow.domain.device import Control
from qpuflow.domain.policy import PolicyRules
from qpuflow.domain.principal import Principal, service
from qpuflow.flows.open_ledger import open_ledger
from qpuflow.ledger import arbiter, batches, carriers, claims, controls
from qpuflow.ledger.arbiter import Question
from qpuflow.ledger.database import Ledger
from qpuflow.tasks.admission import Journey, admit
from qpuflow.tasks.known import Known

USERS, FEW_USERS = 1_000, 20
OF_EACH = 5
"""Single-job runs of every user, and as many batched jobs."""
AT_ONCE = 8
CLAIMS = 100
LOOK_SECONDS = 0.1
TELL_SECONDS = 5.0
IN_ONE_REQUEST = 50
"""Prefect takes 100; while it makes them it answers nobody else."""
DRAINED = FEW_USERS * OF_EACH
"""Jobs whose time is taken: half of the short queue."""
QPU = "aer"


async def deep_queue(installation: Installation) -> list[Figure]:
    """The same users' work drains as fast when 1,000 queue as when 20 do."""
    async with connect(installation.acting_as("op", operator=True)) as operator:

        @asynccontextmanager
        async def paused() -> AsyncGenerator[None]:
            await operator.controls.pause(QPU, "It is being filled")
            yield
            await operator.controls.resume(QPU)

        async with paused():
            await _fill(installation, range(FEW_USERS))
        short = await _drain(installation)
        await _finished(installation, 2 * FEW_USERS * OF_EACH - DRAINED)
        async with paused():
            await _fill(installation, range(FEW_USERS, FEW_USERS + USERS))
            claimed = await _claims(installation)
        deep = await _drain(installation)
    return [
        Figure("claim_10k_p95_ms", quantile([one for one, _ in claimed], 0.95), "ms", "<= 20"),
        Figure("lease_10k_p95_ms", quantile([one for _, one in claimed], 0.95), "ms"),
        Figure("drain_10k_ratio", deep / short, "", ">= 0.9"),
    ]


async def _fill(installation: Installation, users: Iterable[int]) -> None:
    """Until the ledger has all of them; the worker admits those that were started in Prefect."""
    names = [f"deep-{number}" for number in users for _ in range(OF_EACH)]
    async with open_ledger(installation.settings) as ledger:
        known = Known(ledger)
        await _several(_batched(ledger, known, name) for name in names)
        await _start_singles(installation, names)
        while (queued := await _count(ledger, QUEUED)) < 2 * len(names):
            print(f"  {queued} of {2 * len(names)} are queued", flush=True)
            await asyncio.sleep(TELL_SECONDS)


async def _start_singles(installation: Installation, names: Sequence[str]) -> None:
    with temporary_settings({PREFECT_API_URL: installation.prefect_api}):
        async with get_client() as client:
            deployment = await client.read_deployment_by_name(f"run-circuits/{QPU}")
    bulk = f"{installation.prefect_api}/deployments/{deployment.id}/create_flow_run/bulk"
    async with httpx.AsyncClient(timeout=60) as http:
        for start in range(0, len(names), IN_ONE_REQUEST):
            some = names[start : start + IN_ONE_REQUEST]
            runs = [{"parameters": {"request": _single(name)}} for name in some]
            made = (await http.post(bulk, json=runs)).raise_for_status().json()["results"]
            assert {one["status"] for one in made} == {"CREATED"}, made


async def _batched(ledger: Ledger, known: Known, user: str) -> None:
    await admit(ledger, Principal(user, user), request(), Journey(QPU), known)


def _single(user: str) -> dict[str, object]:
    return request().model_copy(update={"user": user}).model_dump(mode="json")


async def _several(work: Iterable[Awaitable[object]]) -> None:
    """So many at once that the ledger is busy, and not so many that it refuses."""
    todo = iter(work)

    async def one_after_the_other() -> None:
        for one in todo:
            await one

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))


async def _drain(installation: Installation) -> float:
    """Jobs per second from now on."""
    began = time.perf_counter()
    await _finished(installation, DRAINED)
    return DRAINED / (time.perf_counter() - began)


async def _finished(installation: Installation, more: int) -> None:
    """Until so many more jobs have ended."""
    async with open_ledger(installation.settings) as ledger:
        goal = await _count(ledger, ENDED) + more
        while await _count(ledger, ENDED) < goal:  # noqa: ASYNC110  in another process
            await asyncio.sleep(LOOK_SECONDS)


ENDED = text("SELECT count(*) FROM jobs WHERE qpu = :qpu AND finished_at IS NOT NULL")
QUEUED = text("SELECT count(*) FROM jobs WHERE qpu = :qpu AND finished_at IS NULL")


async def _count(ledger: Ledger, query: TextClause) -> int:
    async with ledger.look() as session:
        return await session.scalar(query, {"qpu": QPU}) or 0


async def _claims(installation: Installation) -> list[tuple[float, float]]:
    """Milliseconds of choosing a carrier to start, and of deciding that it may run."""
    async with open_ledger(installation.settings) as ledger:
        return [await _claim(ledger, installation.settings.policy) for _ in range(CLAIMS)]


async def _claim(ledger: Ledger, rules: PolicyRules) -> tuple[float, float]:
    """As if the QPU were open. Nothing is kept of it."""
    principal = service("bench")
    async with AsyncSession(ledger.engine) as session:
        await controls.set_control(session, principal, QPU, Control.OPEN, None)
        began = time.perf_counter()
        chosen = await claims.next_carriers(session, QPU, rules)
        choosing = time.perf_counter() - began
        # The last: the worker begins with the first.
        one = chosen[-1].carriage
        carrier = await carriers.begin(session, one.batch_id, one.flow_run_id, "bench:1")
        taken = await batches.take(session, principal, one.batch_id, 50)
        await arbiter.get_ready(session, {job.id: 0.01 for job in taken})
        began = time.perf_counter()
        await arbiter.ask(session, Question(QPU, carrier, one.batch_id, 10.0), rules)
        deciding = time.perf_counter() - began
        await session.rollback()
    return 1000 * choosing, 1000 * deciding
