"""Quotas: allowances, grants, reservations, requests. The account book is append-only."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

APPEND_ONLY = """
CREATE FUNCTION account_book_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
"""
TRIGGER = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION account_book_append_only();
"""


def _amount(name: str) -> sa.Column[Decimal]:
    return sa.Column(name, sa.Numeric(precision=18, scale=6), nullable=False)


def _sum(name: str) -> sa.Column[Decimal]:
    zero = sa.text("0")
    return sa.Column(name, sa.Numeric(precision=18, scale=6), nullable=False, server_default=zero)


def _now(name: str) -> sa.Column[datetime]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )


def upgrade() -> None:
    op.create_table(
        "allowances",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("qpu", sa.Text(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=False),
        _sum("granted"),
        _sum("charged"),
        _sum("reserved"),
        _sum("charged_before"),
        _now("opened_at"),
        sa.CheckConstraint(
            "charged >= 0 AND reserved >= 0", name=op.f("ck_allowances_not_negative")
        ),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name=op.f("fk_allowances_project")),
        sa.ForeignKeyConstraint(["qpu"], ["qpus.name"], name=op.f("fk_allowances_qpu")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_allowances")),
        sa.UniqueConstraint("project", "qpu", "unit", name=op.f("uq_allowances_project_qpu_unit")),
    )
    op.create_index(
        "uq_allowances_all_qpus",
        "allowances",
        ["project", "unit"],
        unique=True,
        postgresql_where=sa.text("qpu IS NULL"),
    )
    op.create_table(
        "first_allowances",
        sa.Column("unit", sa.Text(), nullable=False),
        _amount("amount"),
        sa.Column("set_by", sa.Text(), nullable=False),
        _now("set_at"),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_first_allowances_amount")),
        sa.PrimaryKeyConstraint("unit", name=op.f("pk_first_allowances")),
    )
    op.create_table(
        "quota_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("qpu", sa.Text(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=False),
        _amount("amount"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        _now("created_at"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("granted", sa.Numeric(precision=18, scale=6), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.CheckConstraint("amount > 0", name=op.f("ck_quota_requests_amount")),
        sa.CheckConstraint(
            "(state = 'pending') = (decided_at IS NULL) AND (state = 'pending') = "
            "(decided_by IS NULL) AND (state = 'approved') = (granted IS NOT NULL)",
            name=op.f("ck_quota_requests_decided"),
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'approved', 'rejected')", name=op.f("ck_quota_requests_state")
        ),
        sa.ForeignKeyConstraint(
            ["project"], ["projects.name"], name=op.f("fk_quota_requests_project")
        ),
        sa.ForeignKeyConstraint(["qpu"], ["qpus.name"], name=op.f("fk_quota_requests_qpu")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quota_requests")),
    )
    op.create_index(
        op.f("ix_quota_requests_project_created_at"),
        "quota_requests",
        ["project", "created_at"],
        unique=False,
    )
    op.create_table(
        "grants",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("allowance_id", sa.BigInteger(), nullable=False),
        _amount("amount"),
        sa.Column("granted_by", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Uuid(), nullable=True),
        _now("created_at"),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_grants_amount")),
        sa.ForeignKeyConstraint(
            ["allowance_id"], ["allowances.id"], name=op.f("fk_grants_allowance_id")
        ),
        sa.ForeignKeyConstraint(
            ["request_id"], ["quota_requests.id"], name=op.f("fk_grants_request_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
        sa.UniqueConstraint("request_id", name=op.f("uq_grants_request_id")),
    )
    op.create_index(
        op.f("ix_grants_allowance_id_created_at"),
        "grants",
        ["allowance_id", "created_at"],
        unique=False,
    )
    op.create_table(
        "reservations",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("allowance_id", sa.BigInteger(), nullable=False),
        _amount("amount"),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_reservations_amount")),
        sa.ForeignKeyConstraint(
            ["allowance_id"], ["allowances.id"], name=op.f("fk_reservations_allowance_id")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_reservations_job_id")),
        sa.PrimaryKeyConstraint("job_id", "allowance_id", name=op.f("pk_reservations")),
    )
    op.execute(APPEND_ONLY)
    for table in ("grants", "charges"):
        op.execute(TRIGGER.format(table=table))


def downgrade() -> None:
    op.execute("DROP TRIGGER append_only ON charges")
    op.drop_table("reservations")
    op.drop_index(op.f("ix_grants_allowance_id_created_at"), table_name="grants")
    op.drop_table("grants")
    op.drop_index(op.f("ix_quota_requests_project_created_at"), table_name="quota_requests")
    op.drop_table("quota_requests")
    op.drop_table("first_allowances")
    op.drop_index(
        "uq_allowances_all_qpus",
        table_name="allowances",
        postgresql_where=sa.text("qpu IS NULL"),
    )
    op.drop_table("allowances")
    op.execute("DROP FUNCTION account_book_append_only()")
