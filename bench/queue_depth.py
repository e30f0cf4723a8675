"""A queue of 10,000: 5,000 single-job runs and 5,000 batched jobs of 1,000 users."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from statistics import median
from uuid import UUID, uuid4

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import create_async_engine

from bench.figures import Figure, quantile
from bench.installation import Installation, request
from qpuflow.client.connection import connect
from qpuflow.deployments.stack.parts import PREFECT, cluster_of
from qpuflow.domain.device import Control
from qpuflow.domain.policy import PolicyRules
from qpuflow.domain.principal import Principal, service
from qpuflow.domain.request import JobRequest
from qpuflow.flows.open_ledger import open_ledger
from qpuflow.flows.outbox import queued
from qpuflow.ledger import arbiter, batches, carriers, claims, controls
from qpuflow.ledger.arbiter import Question
from qpuflow.ledger.database import Ledger, async_url
from qpuflow.ledger.session import LedgerSession
from qpuflow.tasks.admission import Journey, admit, admit_all
from qpuflow.tasks.known import Known

USERS, FEW_USERS = 1_000, 100
OF_EACH = 5
"""Single-job runs of every user, and as many batched jobs."""
AT_ONCE = 8
CLAIMS = 100
SEATS = 8
"""As many are chosen at once."""
LOOK_SECONDS = 0.1
ANALYZE = text("ANALYZE")
"""As PostgreSQL does by itself within a minute of such a change."""
DRAINS = 5
DRAINED = FEW_USERS * OF_EACH // DRAINS
"""Jobs of each; all of them together are the batched half of the short queue, which comes first."""
QPU = "aer"


async def deep_queue(installation: Installation) -> list[Figure]:
    """The same users' work drains as fast when 1,000 queue as when 100 do.

    The runs in Prefect are there as it would have made and the worker admitted them; a stack does
    that with a few a second, which is not measured here.
    """
    async with connect(installation.acting_as("op", operator=True)) as operator:

        @asynccontextmanager
        async def paused() -> AsyncGenerator[None]:
            await operator.controls.pause(QPU, "It is being filled")
            yield
            await operator.controls.resume(QPU)

        before = await _ended(installation)
        async with paused():
            await _fill(installation, range(FEW_USERS))
        short = await _drain(installation)
        await _until(installation, before + 2 * FEW_USERS * OF_EACH)
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
    names = [f"deep-{number}" for number in users]
    began = time.perf_counter()
    runs = await _runs(installation, [name for name in names for _ in range(OF_EACH)])
    async with open_ledger(installation.settings) as ledger:
        known = Known(ledger)
        await _several(_batched(ledger, known, name) for name in names)
        await _several(_single(ledger, known, name, run) for run, name in runs.items())
        async with ledger.begin() as session:
            await session.execute(ANALYZE)
        print(f"  {await _count(ledger, QUEUED)} are queued", end=" ")
    print(f"after {time.perf_counter() - began:.0f} s", flush=True)


async def _batched(ledger: Ledger, known: Known, user: str) -> None:
    wishes = [(request(), Journey(QPU)) for _ in range(OF_EACH)]
    await admit_all(ledger, Principal(user, user), wishes, known)


async def _single(ledger: Ledger, known: Known, user: str, run: UUID) -> None:
    journey = Journey(QPU, key=str(run), flow_run_id=run)
    await admit(ledger, Principal(user, user), _asked_by(user), journey, known)


def _asked_by(user: str) -> JobRequest:
    return request().model_copy(update={"user": user, "key": None})


COPY = text(
    """
    WITH fresh AS (
        SELECT run, who, gen_random_uuid() AS state
        FROM unnest(CAST(:runs AS uuid[]), CAST(:users AS text[])) AS wanted (run, who)
    ), copied AS (
        INSERT INTO flow_run SELECT copy.* FROM flow_run one, fresh, jsonb_populate_record(
            NULL::flow_run, to_jsonb(one) || jsonb_build_object(
                'id', run, 'state_id', fresh.state, 'name', who,
                'parameters', jsonb_set(to_jsonb(one.parameters), '{request,user}', to_jsonb(who))
            )) copy WHERE one.id = :first
    )
    INSERT INTO flow_run_state SELECT copy.* FROM flow_run_state one, fresh, jsonb_populate_record(
        NULL::flow_run_state,
        to_jsonb(one) || jsonb_build_object('id', fresh.state, 'flow_run_id', run)
    ) copy WHERE one.flow_run_id = :first
    """
)


async def _runs(installation: Installation, users: Sequence[str]) -> dict[UUID, str]:
    """A run of each, by Prefect's API, and copies of it in Prefect's own tables."""
    first = await _first_run(installation, users[0])
    copies = [uuid4() for _ in users[1:]]
    cluster = cluster_of(installation.settings)
    assert cluster is not None
    engine = create_async_engine(async_url(cluster.url(PREFECT)))
    async with engine.begin() as connection:
        values = {"first": first, "runs": copies, "users": list(users[1:])}
        await connection.execute(COPY, values)
        await connection.execute(ANALYZE)
    await engine.dispose()
    return dict(zip([first, *copies], users, strict=True))


async def _first_run(installation: Installation, user: str) -> UUID:
    """As it is when the worker has admitted it."""
    parameters = {"request": _asked_by(user).model_dump(mode="json")}
    with temporary_settings({PREFECT_API_URL: installation.prefect_api}):
        async with get_client() as client:
            deployment = await client.read_deployment_by_name(f"run-circuits/{QPU}")
            run = await client.create_flow_run_from_deployment(
                deployment.id, parameters=parameters, state=queued()
            )
    return run.id


async def _several(work: Iterable[Awaitable[object]]) -> None:
    """So many at once that the ledger is busy, and not so many that it refuses."""
    todo = iter(work)

    async def one_after_the_other() -> None:
        for one in todo:
            await one

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))


async def _drain(installation: Installation) -> float:
    """Jobs per second from now on, the median of some stretches."""
    rates: list[float] = []
    ended, began = await _ended(installation), time.perf_counter()
    for _ in range(DRAINS):
        latest = await _until(installation, ended + DRAINED)
        now = time.perf_counter()
        rates.append((latest - ended) / (now - began))
        ended, began = latest, now
    print(f"  drained {', '.join(f'{rate:.1f}' for rate in rates)} a second", flush=True)
    return median(rates)


async def _until(installation: Installation, goal: int) -> int:
    """Until so many jobs have ended in all; how many had by then."""
    async with open_ledger(installation.settings) as ledger:
        while (ended := await _count(ledger, ENDED)) < goal:  # noqa: ASYNC110  in another process
            await asyncio.sleep(LOOK_SECONDS)
        return ended


async def _ended(installation: Installation) -> int:
    return await _until(installation, 0)


ENDED = text("SELECT count(*) FROM jobs WHERE qpu = :qpu AND finished_at IS NOT NULL")
QUEUED = text("SELECT count(*) FROM jobs WHERE qpu = :qpu AND finished_at IS NULL")


async def _count(ledger: Ledger, query: TextClause) -> int:
    async with ledger.look() as session:
        return await session.scalar(query, {"qpu": QPU}) or 0


async def _claims(installation: Installation) -> list[tuple[float, float]]:
    """Milliseconds of choosing a carrier to start, and of deciding that it may run."""
    gc.freeze()  # as the engine does: what filled the queue is not the claims' own
    async with open_ledger(installation.settings) as ledger:
        return [await _claim(ledger, installation.settings.policy) for _ in range(CLAIMS)]


BEGIN = text("SELECT 1")
"""A text: the engine's transactions begin with one."""


async def _claim(ledger: Ledger, rules: PolicyRules) -> tuple[float, float]:
    """As if the QPU were open. Nothing is kept of it."""
    principal, session = service("bench"), LedgerSession(ledger.engine)
    try:
        await session.execute(BEGIN)
        await controls.set_control(session, principal, QPU, Control.OPEN, None)
        began = time.perf_counter()
        chosen = list(islice(await claims.next_carriers(session, QPU, rules), SEATS))
        choosing = time.perf_counter() - began
        # The last: the worker begins with the first.
        one = chosen[-1].carriage
        carrier = await carriers.begin(session, one.batch_id, one.flow_run_id, "bench:1")
        taken = await batches.take(session, principal, one.batch_id, 50)
        ready = {job.id: 0.01 for job in taken}
        began = time.perf_counter()
        await arbiter.ask(session, Question(QPU, carrier, one.batch_id, 10.0, ready), rules)
        deciding = time.perf_counter() - began
    finally:
        await session.abandon()
    return 1000 * choosing, 1000 * deciding
