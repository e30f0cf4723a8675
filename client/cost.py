"""What jobs may cost, from a script or a notebook.

    from qpuflow import client

    client.cost.set_limit("HQC", ask_above=100, refuse_above=1000)
    for one in client.cost.approvals("pending"):
        client.cost.approve(one.job_id, answer="for the paper")

Budgets of projects are allowances with a unit: `client.quota.grant("optics", 500, unit="HQC")`.
"""

from __future__ import annotations

from uuid import UUID

from qpuflow.client.blocking import call
from qpuflow.client.costs import Amount
from qpuflow.domain.cost import Approval, ApprovalState, CostLimit, Rate


def approvals(state: ApprovalState | str | None = None, *, limit: int = 50) -> list[Approval]:
    """About what operators are asked, and were: the newest of your projects."""
    wanted = None if state is None else ApprovalState(state)
    return call(lambda connection: connection.costs.approvals(wanted, limit=limit))


def approve(job_id: UUID, amount: Amount | None = None, answer: str | None = None) -> Approval:
    """For operators: the job may cost what was asked for, or more. It goes on by itself."""
    return call(lambda connection: connection.costs.approve(job_id, amount, answer))


def reject(job_id: UUID, answer: str) -> Approval:
    """For operators: the job fails, and says why."""
    return call(lambda connection: connection.costs.reject(job_id, answer))


def limits() -> list[CostLimit]:
    """For one job, each for a project and a QPU or for all."""
    return call(lambda connection: connection.costs.limits())


def set_limit(
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
    amounts = {"ask_above": ask_above, "refuse_above": refuse_above}
    call(lambda c: c.costs.set_limit(unit, project=project, qpu=qpu, **amounts))


def rates() -> list[Rate]:
    """What one of each unit is in credits."""
    return call(lambda connection: connection.costs.rates())


def set_rate(unit: str, worth: Amount, qpu: str | None = None) -> None:
    """For operators: from now on one of the unit is worth so many credits, on one QPU or all."""
    call(lambda connection: connection.costs.set_rate(unit, worth, qpu))
