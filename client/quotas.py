"""QPU time and money, and who may use how much: what a `Connection` offers as `quotas`."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from qpuflow.domain.moments import read_moment
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import (
    QPU_SECONDS,
    Allowance,
    QuotaRequest,
    RequestState,
    Scope,
    amount_of,
)
from qpuflow.domain.settings import Settings
from qpuflow.domain.statement import Statement
from qpuflow.ledger import quotas, statements
from qpuflow.ledger.database import Ledger

Amount = Decimal | int | str
"""Seconds, or text as the command line takes it: 90, 2h30m. No float: it would not be exact.

Of another unit than QPU seconds a number: of USD, HQC, credits.
"""
Moment = datetime | str


class Quotas:
    """All on behalf of the connection's user; without a project, for the connection's."""

    def __init__(self, ledger: Ledger, principal: Principal, settings: Settings) -> None:
        self._ledger, self._principal, self._settings = ledger, principal, settings

    async def show(self, project: str | None = None) -> list[Allowance]:
        """A project's allowances; none: it has no limit."""
        async with self._ledger.begin() as session:
            project = project or self._principal.project
            return await quotas.of_project(session, self._principal, project)

    async def show_all(self) -> list[Allowance]:
        """Every project's, for operators."""
        async with self._ledger.begin() as session:
            return await quotas.of_all(session, self._principal)

    async def request(
        self, amount: Amount, reason: str, qpu: str | None = None, unit: str = QPU_SECONDS
    ) -> QuotaRequest:
        """Ask the operators for more for your project."""
        asked = amount_of(amount, unit)
        async with self._ledger.begin() as session:
            return await quotas.request(session, self._principal, qpu, asked, reason, unit)

    async def requests(
        self, state: RequestState | None = None, *, limit: int = 50
    ) -> list[QuotaRequest]:
        """The newest of your projects, everybody's for an operator."""
        async with self._ledger.begin() as session:
            return await quotas.requests(session, self._principal, state=state, limit=limit)

    async def find(self, text: str) -> UUID:
        """The id of a request from its first characters."""
        async with self._ledger.begin() as session:
            return await quotas.resolve(session, self._principal, text)

    async def approve(
        self, request_id: UUID, amount: Amount | None = None, answer: str | None = None
    ) -> QuotaRequest:
        """For operators: grant what was asked for, or another amount in the same unit."""
        async with self._ledger.begin() as session:
            granted = None
            if amount is not None:
                unit = await quotas.unit_of(session, self._principal, request_id)
                granted = amount_of(amount, unit)
            return await quotas.approve(session, self._principal, request_id, granted, answer)

    async def reject(self, request_id: UUID, answer: str) -> QuotaRequest:
        """For operators: no, and why."""
        async with self._ledger.begin() as session:
            return await quotas.reject(session, self._principal, request_id, answer)

    async def grant(
        self,
        project: str,
        amount: Amount,
        qpu: str | None = None,
        note: str | None = None,
        unit: str = QPU_SECONDS,
    ) -> Allowance:
        """For operators: give more. A project's first grant is what limits it."""
        async with self._ledger.begin() as session:
            scope, exactly = Scope(project, qpu, unit), amount_of(amount, unit)
            return await quotas.grant(session, self._principal, scope, exactly, note)

    async def revoke(
        self,
        project: str,
        amount: Amount,
        qpu: str | None = None,
        note: str | None = None,
        unit: str = QPU_SECONDS,
    ) -> Allowance:
        """For operators: take back. Jobs that were accepted keep what is reserved for them."""
        async with self._ledger.begin() as session:
            scope, exactly = Scope(project, qpu, unit), amount_of(amount, unit)
            return await quotas.revoke(session, self._principal, scope, exactly, note)

    async def first(self, unit: str = QPU_SECONDS) -> Decimal | None:
        """What a new project is given; None: it has no limit."""
        async with self._ledger.begin() as session:
            return await quotas.first(session, unit)

    async def set_first(self, amount: Amount | None, unit: str = QPU_SECONDS) -> None:
        """For operators. Zero: who is new must ask. Projects that are there stay as they are."""
        given = None if amount is None else amount_of(amount, unit, may_be_none=True)
        async with self._ledger.begin() as session:
            await quotas.set_first(session, self._principal, given, unit)

    async def statement(
        self,
        project: str | None = None,
        starts_at: Moment | None = None,
        ends_at: Moment | None = None,
    ) -> Statement:
        """Of what was settled in the period; from the first of the month and until now."""
        now = datetime.now(UTC)
        month = now.astimezone(self._settings.zone).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        )
        start = self._moment(starts_at, now) or month.astimezone(UTC)
        end = self._moment(ends_at, now)
        project = project or self._principal.project
        return await statements.make(self._ledger, self._principal, project, start, end)

    def _moment(self, moment: Moment | None, now: datetime) -> datetime | None:
        if isinstance(moment, str):
            return read_moment(moment, self._settings.zone, now, now)
        return moment
