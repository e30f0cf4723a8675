"""Costs: estimates beside what was charged, rates, limits for one job, approvals."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

STATES = (
    "'queued', 'preparing', {}'running', 'waiting', 'ambiguous', 'completed', 'failed', 'cancelled'"
)


def _amount(name: str, *, nullable: bool = False) -> sa.Column[Decimal]:
    return sa.Column(name, sa.Numeric(precision=18, scale=6), nullable=nullable)


def _now(name: str) -> sa.Column[datetime]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )


def _states(more: str) -> None:
    op.drop_constraint(op.f("ck_jobs_state"), "jobs")
    op.create_check_constraint(op.f("ck_jobs_state"), "jobs", f"state IN ({STATES.format(more)})")


def upgrade() -> None:
    _states("'unapproved', ")
    op.add_column("jobs", _amount("estimate_cost", nullable=True))
    op.add_column("jobs", sa.Column("cost_unit", sa.Text(), nullable=True))
    op.add_column("charges", _amount("estimated_cost", nullable=True))
    op.add_column("charges", _amount("credits", nullable=True))
    _rates()
    _limits()
    _approvals()


def _rates() -> None:
    op.create_table(
        "credit_rates",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("qpu", sa.Text(), nullable=True),
        _amount("credits"),
        sa.Column("set_by", sa.Text(), nullable=False),
        _now("set_at"),
        sa.CheckConstraint("credits >= 0", name=op.f("ck_credit_rates_credits")),
        sa.ForeignKeyConstraint(["qpu"], ["qpus.name"], name=op.f("fk_credit_rates_qpu")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_rates")),
    )
    op.create_index(
        "uq_credit_rates", "credit_rates", ["unit", sa.text("coalesce(qpu, '')")], unique=True
    )


def _limits() -> None:
    op.create_table(
        "cost_limits",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project", sa.Text(), nullable=True),
        sa.Column("qpu", sa.Text(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=False),
        _amount("ask_above", nullable=True),
        _amount("refuse_above", nullable=True),
        sa.Column("set_by", sa.Text(), nullable=False),
        _now("set_at"),
        sa.CheckConstraint(
            "ask_above >= 0 AND refuse_above >= 0", name=op.f("ck_cost_limits_amounts")
        ),
        sa.CheckConstraint(
            "ask_above IS NOT NULL OR refuse_above IS NOT NULL",
            name=op.f("ck_cost_limits_something"),
        ),
        sa.ForeignKeyConstraint(
            ["project"], ["projects.name"], name=op.f("fk_cost_limits_project")
        ),
        sa.ForeignKeyConstraint(["qpu"], ["qpus.name"], name=op.f("fk_cost_limits_qpu")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cost_limits")),
    )
    op.create_index(
        "uq_cost_limits",
        "cost_limits",
        [sa.text("coalesce(project, '')"), sa.text("coalesce(qpu, '')"), "unit"],
        unique=True,
    )


def _approvals() -> None:
    op.create_table(
        "cost_approvals",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        _amount("amount"),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        _now("asked_at"),
        sa.Column("state", sa.Text(), nullable=False),
        _amount("approved", nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "amount >= 0 AND approved >= amount", name=op.f("ck_cost_approvals_amounts")
        ),
        sa.CheckConstraint(
            "(state = 'pending') = (decided_at IS NULL) AND (state = 'pending') = "
            "(decided_by IS NULL) AND (state = 'approved') = (approved IS NOT NULL)",
            name=op.f("ck_cost_approvals_decided"),
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'approved', 'rejected')", name=op.f("ck_cost_approvals_state")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_cost_approvals_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_cost_approvals")),
    )


def downgrade() -> None:
    op.execute("UPDATE jobs SET state = 'queued' WHERE state = 'unapproved'")
    _states("")
    for table in ("cost_approvals", "cost_limits", "credit_rates"):
        op.drop_table(table)
    for column in ("credits", "estimated_cost"):
        op.drop_column("charges", column)
    for column in ("cost_unit", "estimate_cost"):
        op.drop_column("jobs", column)
