"""Rates, limits and approvals: what operators decide about money, and who may see it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Select, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.cost import Approval, ApprovalState, CostLimit, Rate, check_limit, check_unit
from qpuflow.domain.errors import Conflict, InputError, NotFound
from qpuflow.domain.job import FINAL, JobState
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import measure
from qpuflow.ledger import accounts, batches, carriers, events, jobs, qpus
from qpuflow.ledger.cost_guard import approval_of
from qpuflow.ledger.schema import ApprovalRow, CostLimitRow, JobRow, Member, RateRow

_UNANSWERED = ApprovalRow.state == ApprovalState.PENDING.value


async def rates(session: AsyncSession) -> list[Rate]:
    rows = await session.scalars(select(RateRow).order_by(RateRow.unit, RateRow.qpu.nulls_first()))
    return [Rate(row.unit, row.credits, row.qpu) for row in rows]


async def set_rate(session: AsyncSession, principal: Principal, rate: Rate) -> None:
    """From now on. What was charged keeps the credits that it was worth then."""
    principal.require_operator("say what a unit is worth")
    _require_not_negative(rate.credits)
    if rate.qpu is not None:
        await qpus.find(session, rate.qpu)
    values = {"credits": rate.credits, "set_by": principal.user, "set_at": func.now()}
    unit = check_unit(rate.unit)
    known = RateRow.unit == unit, RateRow.qpu.is_not_distinct_from(rate.qpu)
    changed = await session.scalar(
        update(RateRow).where(*known).values(**values).returning(RateRow.id)
    )
    if changed is None:
        await session.execute(insert(RateRow).values(unit=unit, qpu=rate.qpu, **values))


async def limits(session: AsyncSession) -> list[CostLimit]:
    order = (CostLimitRow.project.nulls_first(), CostLimitRow.qpu.nulls_first(), CostLimitRow.unit)
    rows = await session.scalars(select(CostLimitRow).order_by(*order))
    return [
        CostLimit(row.unit, row.ask_above, row.refuse_above, row.project, row.qpu) for row in rows
    ]


async def set_limit(session: AsyncSession, principal: Principal, limit: CostLimit) -> None:
    """In place of the one for the same project, QPU and unit."""
    principal.require_operator("limit what a job may cost")
    check_limit(limit.ask_above, limit.refuse_above)
    for amount in (limit.ask_above, limit.refuse_above):
        _require_not_negative(amount)
    limit = replace(limit, unit=check_unit(limit.unit))
    if limit.project is not None:
        await accounts.require_project(session, limit.project)
    if limit.qpu is not None:
        await qpus.find(session, limit.qpu)
    await session.execute(_same(limit))
    await session.execute(
        insert(CostLimitRow).values(
            project=limit.project,
            qpu=limit.qpu,
            unit=limit.unit,
            ask_above=limit.ask_above,
            refuse_above=limit.refuse_above,
            set_by=principal.user,
        )
    )


async def remove_limit(session: AsyncSession, principal: Principal, limit: CostLimit) -> None:
    """Raises `NotFound` unless there is one for this project, QPU and unit."""
    principal.require_operator("limit what a job may cost")
    limit = replace(limit, unit=check_unit(limit.unit))
    if await session.scalar(_same(limit).returning(CostLimitRow.id)) is None:
        raise NotFound("There is no such limit", remedy="See `qpuflow cost limits`.")


def _same(limit: CostLimit):
    return delete(CostLimitRow).where(
        CostLimitRow.project.is_not_distinct_from(limit.project),
        CostLimitRow.qpu.is_not_distinct_from(limit.qpu),
        CostLimitRow.unit == limit.unit,
    )


async def approvals(
    session: AsyncSession,
    principal: Principal,
    *,
    state: ApprovalState | None = None,
    limit: int = 50,
) -> list[Approval]:
    """The newest of the principal's projects, of all for an operator."""
    query = _visible(principal).order_by(ApprovalRow.asked_at.desc()).limit(limit)
    match state:
        case None:
            pass
        case ApprovalState.PENDING:
            query = query.where(_UNANSWERED, JobRow.state == JobState.UNAPPROVED.value)
        case ApprovalState.WITHDRAWN:
            query = query.where(_UNANSWERED, JobRow.state.in_(FINAL))
        case _:
            query = query.where(ApprovalRow.state == state.value)
    return [approval_of(*row) for row in (await session.execute(query)).tuples()]


async def unit_of(session: AsyncSession, principal: Principal, job_id: UUID) -> str:
    """In what the cost of the job is counted."""
    await jobs.find(session, principal, job_id)
    row = await session.get(ApprovalRow, job_id)
    if row is None:
        raise NotFound(f"Nobody was asked about the cost of job {job_id}")
    return row.unit


async def approve(
    session: AsyncSession,
    principal: Principal,
    job_id: UUID,
    amount: Decimal | None = None,
    answer: str | None = None,
) -> Approval:
    """The job may cost what was asked for, or more; it is queued again.

    Raises `Conflict` unless an operator is asked about it just now.
    """
    principal.require_operator("approve what a job costs")
    row = await _unanswered(session, principal, job_id)
    approved = row.amount if amount is None else amount
    if approved < row.amount:
        raise InputError(
            f"The job would cost {measure(row.amount, row.unit)}, which is more than "
            f"{measure(approved, row.unit)}",
            remedy="Reject it, or approve at least that.",
        )
    said = f": {answer}" if answer else ""
    reason = f"{measure(approved, row.unit)} approved by {principal.user}{said}"
    await _answer(session, principal, job_id, ApprovalState.APPROVED, answer, approved)
    await events.require_move(session, principal, [job_id], JobState.QUEUED, reason=reason)
    await carriers.replace(session, (await session.get_one(JobRow, job_id)).batch_id)
    return await _found(session, principal, job_id)


async def reject(
    session: AsyncSession, principal: Principal, job_id: UUID, answer: str
) -> Approval:
    """The job fails with the operator's words. Raises `Conflict` as `approve`."""
    principal.require_operator("reject what a job costs")
    if not answer.strip():
        raise InputError("A rejection needs a reason", remedy="The applicant will read it.")
    row = await _unanswered(session, principal, job_id)
    reason = f"{measure(row.amount, row.unit)} not approved by {principal.user}: {answer}"
    await _answer(session, principal, job_id, ApprovalState.REJECTED, answer)
    await events.require_move(session, principal, [job_id], JobState.FAILED, reason=reason)
    return await _found(session, principal, job_id)


async def _unanswered(session: AsyncSession, principal: Principal, job_id: UUID) -> ApprovalRow:
    """Under the batch's lock: its carrier neither ends nor takes the job meanwhile."""
    job = await jobs.find(session, principal, job_id)
    await batches.lock(session, job.batch_id)
    state = await session.scalar(select(JobRow.state).where(JobRow.id == job_id).with_for_update())
    row = await session.get(ApprovalRow, job_id, populate_existing=True)
    if row is None or state != JobState.UNAPPROVED.value:
        raise Conflict(
            f"Job {job_id} is {state}, and nobody is asked about its cost",
            remedy="See `qpuflow cost approvals --state pending`.",
        )
    return row


async def _answer(
    session: AsyncSession,
    principal: Principal,
    job_id: UUID,
    state: ApprovalState,
    answer: str | None,
    approved: Decimal | None = None,
) -> None:
    await session.execute(
        update(ApprovalRow)
        .where(ApprovalRow.job_id == job_id)
        .values(
            state=state.value,
            approved=approved,
            decided_by=principal.user,
            decided_at=func.now(),
            answer=answer,
        )
    )


async def _found(session: AsyncSession, principal: Principal, job_id: UUID) -> Approval:
    query = _visible(principal).where(ApprovalRow.job_id == job_id)
    rows = await session.execute(query, execution_options={"populate_existing": True})
    return approval_of(*rows.tuples().one())


def _visible(principal: Principal) -> Select[tuple[ApprovalRow, JobRow]]:
    query = select(ApprovalRow, JobRow).join(JobRow, JobRow.id == ApprovalRow.job_id)
    if principal.is_operator:
        return query
    own = select(Member.project).where(Member.user == principal.user)
    return query.where(or_(JobRow.project.in_(own), JobRow.user == principal.user))


def _require_not_negative(amount: Decimal | None) -> None:
    if amount is not None and not (amount.is_finite() and amount >= 0):
        raise InputError(f"{amount} is no amount", remedy="Give a number that is not negative.")
