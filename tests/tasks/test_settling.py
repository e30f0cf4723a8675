"""What nobody could tell, an operator says; and nothing runs twice for it."""

from __future__ import annotations

from uuid import UUID

import pytest

from qpuflow.domain.errors import AccessDenied, Conflict, OutcomeUnknown
from qpuflow.domain.job import JobState
from qpuflow.domain.principal import Principal, Role
from qpuflow.ledger import intents, settling
from qpuflow.ledger.settling import Answer, Settlement
from tests.ledger.entities import scalar
from tests.tasks.journalled import JournalledQpu, Mischief
from tests.tasks.pipeline import USER, Pipeline

OLGA = Principal("olga", "olga", frozenset({Role.USER, Role.OPERATOR}))


async def ambiguous(pipeline: Pipeline, qpu: JournalledQpu, mischief: Mischief) -> UUID:
    """A job whose QPU answers no questions, and no run that works for it."""
    (job_id,) = await pipeline.submit()
    qpu.mischief.append(mischief)
    qpu.deaf = OutcomeUnknown("Nobody answers")
    carrying = await pipeline.begin(await pipeline.batch_of(job_id))
    await pipeline.carry(carrying)
    job = await pipeline.job(job_id)
    assert job.state is JobState.AMBIGUOUS
    assert intents.token_of(job) in (job.reason or ""), "an operator has something to look for"
    await rest(pipeline, job_id)
    return job_id


async def rest(pipeline: Pipeline, job_id: UUID) -> None:
    """The run that worked for it has ended, and the reaper has not come yet."""
    batch_id = await pipeline.batch_of(job_id)
    await scalar(
        pipeline.ledger,
        f"UPDATE carriers SET state = 'done' WHERE batch_id = '{batch_id}' RETURNING 1",
    )


async def settle(
    pipeline: Pipeline, job_id: UUID, answer: Answer, remote_id: str = "", who: Principal = OLGA
) -> None:
    async with pipeline.ledger.begin() as session:
        await settling.settle(session, who, job_id, Settlement(answer, "I looked", remote_id))


async def carry(pipeline: Pipeline, job_id: UUID) -> None:
    await pipeline.carry(await pipeline.begin(await pipeline.batch_of(job_id)))


async def test_what_was_accepted_is_fetched(pipeline: Pipeline, qpu: JournalledQpu) -> None:
    job_id = await ambiguous(pipeline, qpu, Mischief.LOSE_REPLY)
    await settle(pipeline, job_id, Answer.ACCEPTED, qpu.executions()[0]["id"])
    await carry(pipeline, job_id)
    assert (await pipeline.job(job_id)).state is JobState.COMPLETED
    assert len(qpu.executions()) == 1


async def test_what_was_not_accepted_is_handed_over_again(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    job_id = await ambiguous(pipeline, qpu, Mischief.LOSE_REQUEST)
    await settle(pipeline, job_id, Answer.NOT_ACCEPTED)
    await carry(pipeline, job_id)
    job = await pipeline.job(job_id)
    assert (job.state, job.attempt) == (JobState.COMPLETED, 2)
    assert len(qpu.executions()) == 1


async def test_what_is_given_up_fails_with_the_operators_words(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    job_id = await ambiguous(pipeline, qpu, Mischief.LOSE_REPLY)
    await settle(pipeline, job_id, Answer.GIVEN_UP)
    job = await pipeline.job(job_id)
    assert (job.state, job.reason) == (
        JobState.FAILED,
        "Settled as given up by olga: I looked",
    )


async def test_only_an_operator_settles_and_only_what_is_ambiguous(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    job_id = await ambiguous(pipeline, qpu, Mischief.LOSE_REPLY)
    with pytest.raises(AccessDenied):
        await settle(pipeline, job_id, Answer.GIVEN_UP, who=USER)
    await settle(pipeline, job_id, Answer.GIVEN_UP)
    with pytest.raises(Conflict, match="only an ambiguous one"):
        await settle(pipeline, job_id, Answer.NOT_ACCEPTED)


async def test_nobody_settles_what_a_run_is_asking_about(
    pipeline: Pipeline, qpu: JournalledQpu
) -> None:
    job_id = await ambiguous(pipeline, qpu, Mischief.LOSE_REPLY)
    await scalar(
        pipeline.ledger,
        "UPDATE carriers SET state = 'live', heartbeat_at = now() RETURNING 1",
    )
    with pytest.raises(Conflict, match="A run is asking"):
        await settle(pipeline, job_id, Answer.GIVEN_UP)
