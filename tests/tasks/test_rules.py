"""Retries, delays and time-outs are what the QPU's rules say."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from itertools import pairwise
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from qpuflow.domain.errors import Unavailable
from qpuflow.domain.settings import Settings
from qpuflow.domain.steps import QpuRules, StepRules, Steps
from qpuflow.tasks.step import shown, step
from qpuflow.tasks.wait import wait
from qpuflow.tasks.work import Chunk
from tests.system.installation import Installation
from tests.system.test_kills import SLOW
from tests.tasks.journalled import JournalledQpu, Mischief
from tests.tasks.pipeline import STEPS, Pipeline, run

tries: list[float] = []


@step("dispatch")
async def never_answers(chunk: Chunk) -> Chunk:
    tries.append(asyncio.get_running_loop().time())
    raise Unavailable("Nobody there")


@pytest.fixture
def prefect_server(stack: Installation) -> Generator[None]:
    # A task outside of a flow has no run that its log could belong to.
    settings: dict[Any, Any] = {
        PREFECT_API_URL: stack.endpoints.prefect_api_url,
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    with temporary_settings(settings):
        yield


def with_steps(pipeline: Pipeline, steps: Steps) -> None:
    pipeline.settings = pipeline.settings.for_qpu(QpuRules(steps=steps))


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("delays", [(), (0.3,), (0.3, 0.3)])
async def test_a_step_is_repeated_as_often_and_as_late_as_its_rule_says(
    pipeline: Pipeline, delays: tuple[float, ...]
) -> None:
    tries.clear()
    with_steps(pipeline, Steps(dispatch=StepRules(retry_delays_seconds=delays)))
    carrying = await pipeline.begin(await pipeline.batch_of((await pipeline.submit())[0]))
    with pytest.raises(Unavailable, match="Nobody there"):
        await shown(never_answers, await pipeline.take(carrying))
    assert len(tries) == 1 + len(delays)
    assert all(b - a >= 0.3 for a, b in pairwise(tries))


async def test_a_step_that_takes_too_long_is_ended_and_may_be_repeated(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    with_steps(pipeline, Steps(wait=StepRules(timeout_seconds=0.2)))
    ids = await pipeline.submit()
    carrying = await pipeline.begin(await pipeline.batch_of(ids[0]))
    qpu.mischief.append(Mischief.HANG)
    chunk = await pipeline.steps(await pipeline.take(carrying), STEPS[:3])
    with pytest.raises(Unavailable, match=r"The step wait took more than 0\.2 s"):
        await run(wait, chunk)
    assert len(qpu.executions()) == 1


def test_a_qpu_has_the_installation_s_settings_but_for_its_own() -> None:
    settings = Settings(max_attempts=4, run_timeout_seconds=60)
    assert settings.for_qpu(QpuRules()) is settings
    own = settings.for_qpu(QpuRules(max_attempts=2))
    assert (own.max_attempts, own.run_timeout_seconds) == (2, 60)


async def test_what_a_run_s_job_variables_say_holds_for_its_job(stack: Installation) -> None:
    request = {"programs": [{"source": SLOW}], "shots": 100_000}
    run = await stack.start(
        "run-circuits/aer",
        {"request": request},
        job_variables={"rules": {"run_timeout_seconds": 0.5}},
    )
    assert (await stack.ended(run))["state_type"] == "FAILED"
    assert "more than 0.5 s" in (await stack.job(await stack.job_of(run)))["reason"]
