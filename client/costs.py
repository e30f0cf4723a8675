"""What jobs may cost: what a `Connection` offers as `costs`."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from qpuflow.domain.cost import CREDITS, Approval, ApprovalState, CostLimit, Rate
from qpuflow.domain.principal import Principal
from qpuflow.domain.quota import amount_of
from qpuflow.ledger import costs
from qpuflow.ledger.database import Ledger

Amount = Decimal | int | str
"""A number of the unit; no float, which would not be exact. Of QPU seconds also 2h30m."""


class Costs:
    """All on behalf of the connection's user. Raises `AccessDenied` for what operators do."""

    def __init__(self, ledger: Ledger, principal: Principal) -> None:
        self._ledger, self._principal = ledger, principal

    async def approvals(
        self, state: ApprovalState | None = None, *, limit: int = 50
    ) -> list[Approval]:
        """About what operators are asked, and were: the newest of your projects."""
        async with self._ledger.begin() as session:
            return await costs.approvals(session, self._principal, state=state, limit=limit)

    async def approve(
        self, job_id: UUID, amount: Amount | None = None, answer: str | None = None
    ) -> Approval:
        """For operators: the job may cost what was asked for, or more. It goes on by itself."""
        async with self._ledger.begin() as session:
            unit = await costs.unit_of(session, self._principal, job_id)
            most = None if amount is None else amount_of(amount, unit)
            return await costs.approve(session, self._principal, job_id, most, answer)

    async def reject(self, job_id: UUID, answer: str) -> Approval:
        """For operators: the job fails, and says why."""
        async with self._ledger.begin() as session:
            return await costs.reject(session, self._principal, job_id, answer)

    async def limits(self) -> list[CostLimit]:
        """For one job, each for a project and a QPU or for all."""
        async with self._ledger.begin() as session:
            return await costs.limits(session)

    async def set_limit(
        self,
        unit: str,
        *,
        ask_above: Amount | None = None,
        refuse_above: Amount | None = None,
        project: str | None = None,
        qpu: str | None = None,
    ) -> None:
        """For operators: above one amount you are asked, above the other a job fails.

        In place of the limit for the same project, QPU and unit; with neither amount, away with it.
        """
        ask, refuse = (
            None if one is None else amount_of(one, unit, may_be_none=True)
            for one in (ask_above, refuse_above)
        )
        limit = CostLimit(unit, ask, refuse, project, qpu)
        async with self._ledger.begin() as session:
            change = costs.remove_limit if ask is None and refuse is None else costs.set_limit
            await change(session, self._principal, limit)

    async def rates(self) -> list[Rate]:
        """What one of each unit is in credits."""
        async with self._ledger.begin() as session:
            return await costs.rates(session)

    async def set_rate(self, unit: str, worth: Amount, qpu: str | None = None) -> None:
        """For operators: from now on one of the unit is worth so many credits."""
        rate = Rate(unit, amount_of(worth, CREDITS, may_be_none=True), qpu)
        async with self._ledger.begin() as session:
            await costs.set_rate(session, self._principal, rate)
