"""What projects may use, for those who ask and for the operators who answer.

Nobody but an operator changes a balance: members can look, and request.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Select, Text, cast, delete, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.cost import check_unit
from qpuflow.domain.errors import Conflict, InputError, NotFound
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import (
    QPU_SECONDS,
    Allowance,
    QuotaRequest,
    RequestState,
    Scope,
    check_amount,
)
from qpuflow.ledger import accounts, allowances, qpus
from qpuflow.ledger.schema import (
    AllowanceRow,
    FirstAllowanceRow,
    Member,
    QuotaRequestRow,
)


async def of_project(session: AsyncSession, principal: Principal, project: str) -> list[Allowance]:
    """A project's allowances; none: it has no limit."""
    await accounts.require_view(session, principal, project)
    return await _found(session, AllowanceRow.project == project)


async def of_all(session: AsyncSession, principal: Principal) -> list[Allowance]:
    """Every project's, for operators."""
    principal.require_operator("see everybody's quotas")
    return await _found(session)


async def grant(
    session: AsyncSession,
    principal: Principal,
    scope: Scope,
    amount: Decimal,
    note: str | None = None,
) -> Allowance:
    """Give more. A project's first grant is what limits it."""
    principal.require_operator("grant QPU time")
    check_amount(amount)
    scope = replace(scope, unit=check_unit(scope.unit))
    return await allowances.enter(session, principal, scope, amount, note)


async def revoke(
    session: AsyncSession,
    principal: Principal,
    scope: Scope,
    amount: Decimal,
    note: str | None = None,
) -> Allowance:
    """Take back. Jobs that were accepted keep what is reserved for them.

    Raises `NotFound` where nothing was ever granted: it would be a limit that nobody set.
    """
    principal.require_operator("take QPU time back")
    check_amount(amount)
    scope = replace(scope, unit=check_unit(scope.unit))
    await allowances.require(session, scope)
    return await allowances.enter(session, principal, scope, -amount, note)


async def first(session: AsyncSession, unit: str = QPU_SECONDS) -> Decimal | None:
    """What every new project is given; None: a new project has no limit."""
    return await session.scalar(
        select(FirstAllowanceRow.amount).where(FirstAllowanceRow.unit == unit)
    )


async def set_first(
    session: AsyncSession, principal: Principal, amount: Decimal | None, unit: str = QPU_SECONDS
) -> None:
    """Zero is possible: whoever is new must ask. Projects that are there keep what they have."""
    principal.require_operator("set what a new project is given")
    if amount is None:
        await session.execute(delete(FirstAllowanceRow).where(FirstAllowanceRow.unit == unit))
        return
    if amount:
        check_amount(amount)
    values = {"amount": amount, "set_by": principal.user, "set_at": func.now()}
    await session.execute(
        upsert(FirstAllowanceRow)
        .values(unit=check_unit(unit), **values)
        .on_conflict_do_update(index_elements=["unit"], set_=values)
    )


async def request(
    session: AsyncSession,
    principal: Principal,
    qpu: str | None,
    amount: Decimal,
    reason: str,
    unit: str = QPU_SECONDS,
) -> QuotaRequest:
    """Ask the operators for more for the principal's project."""
    check_amount(amount)
    if not reason.strip():
        raise InputError("A request for QPU time needs a reason", remedy="Say what it is for.")
    await accounts.require_member(session, principal)
    if qpu is not None:
        await qpus.find(session, qpu)
    request_id = uuid4()
    await session.execute(
        insert(QuotaRequestRow).values(
            id=request_id,
            project=principal.project,
            qpu=qpu,
            unit=check_unit(unit),
            amount=amount,
            reason=reason,
            requested_by=principal.user,
        )
    )
    return _value(await session.get_one(QuotaRequestRow, request_id))


async def requests(
    session: AsyncSession,
    principal: Principal,
    *,
    state: RequestState | None = None,
    limit: int = 50,
) -> list[QuotaRequest]:
    """The newest requests of the principal's projects, of all for an operator."""
    query = _visible(principal).order_by(QuotaRequestRow.created_at.desc()).limit(limit)
    if state is not None:
        query = query.where(QuotaRequestRow.state == state.value)
    return [_value(row) for row in await session.scalars(query)]


async def resolve(session: AsyncSession, principal: Principal, text: str) -> UUID:
    """A request's id from its first characters."""
    begins = cast(QuotaRequestRow.id, Text).startswith(text.lower(), autoescape=True)
    found = list(await session.scalars(_visible(principal).where(begins).limit(2)))
    if not text or not found:
        raise NotFound(f"There is no request {text!r}", remedy="See `qpuflow quota requests`.")
    if len(found) > 1:
        raise NotFound(f"Several requests begin with {text!r}", remedy="Give more characters.")
    return found[0].id


async def unit_of(session: AsyncSession, principal: Principal, request_id: UUID) -> str:
    """In what a request asks for more."""
    found = await session.scalar(_visible(principal).where(QuotaRequestRow.id == request_id))
    if found is None:
        raise NotFound(f"There is no request {request_id}", remedy="See `qpuflow quota requests`.")
    return found.unit


async def approve(
    session: AsyncSession,
    principal: Principal,
    request_id: UUID,
    amount: Decimal | None = None,
    answer: str | None = None,
) -> QuotaRequest:
    """Grant what was asked for or another amount. Raises `Conflict` if it was answered before."""
    principal.require_operator("approve requests for QPU time")
    if amount is not None:
        check_amount(amount)
    granted = QuotaRequestRow.amount if amount is None else amount
    row = await _answer(
        session, principal, request_id, RequestState.APPROVED, answer, granted=granted
    )
    value = _value(row)
    assert value.granted is not None
    note = answer or value.reason
    await allowances.enter(session, principal, value.scope, value.granted, note, value.id)
    return value


async def reject(
    session: AsyncSession, principal: Principal, request_id: UUID, answer: str
) -> QuotaRequest:
    """Say no, and why. Raises `Conflict` if it was answered before."""
    principal.require_operator("reject requests for QPU time")
    if not answer.strip():
        raise InputError("A rejection needs a reason", remedy="The applicant will read it.")
    return _value(await _answer(session, principal, request_id, RequestState.REJECTED, answer))


async def _answer(
    session: AsyncSession,
    principal: Principal,
    request_id: UUID,
    state: RequestState,
    answer: str | None,
    **values: object,
) -> QuotaRequestRow:
    row = await session.scalar(
        update(QuotaRequestRow)
        .where(
            QuotaRequestRow.id == request_id,
            QuotaRequestRow.state == RequestState.PENDING.value,
        )
        .values(
            state=state.value,
            decided_by=principal.user,
            decided_at=func.now(),
            answer=answer,
            **values,
        )
        .returning(QuotaRequestRow)
        .execution_options(populate_existing=True)
    )
    if row is not None:
        return row
    before = await session.get(QuotaRequestRow, request_id)
    if before is None:
        raise NotFound(f"There is no request {request_id}", remedy="See `qpuflow quota requests`.")
    raise Conflict(
        f"Request {request_id} was {before.state} by {before.decided_by} already",
        remedy="See `qpuflow quota grant` and `quota revoke`.",
    )


def _visible(principal: Principal) -> Select[tuple[QuotaRequestRow]]:
    query = select(QuotaRequestRow)
    if principal.is_operator:
        return query
    own = select(Member.project).where(Member.user == principal.user)
    return query.where(
        or_(QuotaRequestRow.project.in_(own), QuotaRequestRow.requested_by == principal.user)
    )


async def _found(session: AsyncSession, *which: ColumnElement[bool]) -> list[Allowance]:
    order = (AllowanceRow.project, AllowanceRow.qpu.nulls_first(), AllowanceRow.unit)
    rows = await session.scalars(select(AllowanceRow).where(*which).order_by(*order))
    return [allowances.value_of(row) for row in rows]


def _value(row: QuotaRequestRow) -> QuotaRequest:
    return QuotaRequest(
        id=row.id,
        scope=Scope(row.project, row.qpu, row.unit),
        amount=row.amount,
        reason=row.reason,
        requested_by=row.requested_by,
        created_at=row.created_at,
        state=RequestState(row.state),
        granted=row.granted,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        answer=row.answer,
    )
