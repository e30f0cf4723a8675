"""QPU time and money, and who may use how much, from a script or a notebook.

    from qpuflow import client

    client.quota.show()
    client.quota.request("2h", reason="the figures of our paper")

Amounts are seconds as `Decimal` or `int`, or text such as "90s" and "2h30m"; with a `unit` such as
"USD", "HQC" or "credits" numbers of that.
"""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from qpuflow.client.blocking import call
from qpuflow.client.quotas import Amount, Moment
from qpuflow.domain.quota import QPU_SECONDS, Allowance, QuotaRequest, RequestState
from qpuflow.domain.statement import Statement


def show(project: str | None = None) -> list[Allowance]:
    """A project's allowances, yours without a name; none: it has no limit."""
    return call(lambda connection: connection.quotas.show(project))


def show_all() -> list[Allowance]:
    """For operators: every project's."""
    return call(lambda connection: connection.quotas.show_all())


def request(
    amount: Amount, reason: str, qpu: str | None = None, unit: str = QPU_SECONDS
) -> QuotaRequest:
    """Ask the operators for more for your project. `requests` has the answer."""
    return call(lambda connection: connection.quotas.request(amount, reason, qpu, unit))


def requests(state: RequestState | None = None, *, limit: int = 50) -> list[QuotaRequest]:
    """The newest of your projects, everybody's for an operator."""
    return call(lambda connection: connection.quotas.requests(state, limit=limit))


def approve(
    request_id: UUID, amount: Amount | None = None, answer: str | None = None
) -> QuotaRequest:
    """For operators: grant what was asked for, or another amount."""
    return call(lambda connection: connection.quotas.approve(request_id, amount, answer))


def reject(request_id: UUID, answer: str) -> QuotaRequest:
    """For operators: no, and why."""
    return call(lambda connection: connection.quotas.reject(request_id, answer))


def grant(
    project: str,
    amount: Amount,
    qpu: str | None = None,
    note: str | None = None,
    unit: str = QPU_SECONDS,
) -> Allowance:
    """For operators: give more. A project's first grant is what limits it."""
    return call(lambda connection: connection.quotas.grant(project, amount, qpu, note, unit))


def revoke(
    project: str,
    amount: Amount,
    qpu: str | None = None,
    note: str | None = None,
    unit: str = QPU_SECONDS,
) -> Allowance:
    """For operators: take back. Jobs that were accepted keep what is reserved for them."""
    return call(lambda connection: connection.quotas.revoke(project, amount, qpu, note, unit))


def first(unit: str = QPU_SECONDS) -> Decimal | None:
    """What a new project is given; None: it has no limit."""
    return call(lambda connection: connection.quotas.first(unit))


def set_first(amount: Amount | None, unit: str = QPU_SECONDS) -> None:
    """For operators. Zero: whoever is new must ask. Projects that are there stay as they are."""
    call(lambda connection: connection.quotas.set_first(amount, unit))


def statement(
    project: str | None = None, starts_at: Moment | None = None, ends_at: Moment | None = None
) -> Statement:
    """What was granted and used; from the first of the month and until now, unless said."""
    return call(lambda connection: connection.quotas.statement(project, starts_at, ends_at))
