"""The earliest start of a job, and the latest that is of use."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def _add(table: str, name: str) -> None:
    op.add_column(table, sa.Column(name, sa.DateTime(timezone=True), nullable=True))


def _accepting(*more: sa.TextClause) -> None:
    op.drop_index("uq_batches_accepting", "batches")
    op.create_index(
        "uq_batches_accepting",
        "batches",
        ["qpu", "user", "project", *more],
        unique=True,
        postgresql_where=sa.text("kind = 'shared' AND state <> 'closed'"),
    )


def upgrade() -> None:
    for table, name in (("jobs", "not_before"), ("jobs", "start_by"), ("batches", "not_before")):
        _add(table, name)
    op.create_check_constraint(op.f("ck_jobs_start"), "jobs", "start_by > not_before")
    op.create_index(
        "ix_jobs_start_by",
        "jobs",
        ["start_by"],
        postgresql_where=sa.text("start_by IS NOT NULL AND state IN ('queued', 'unapproved')"),
    )
    _accepting(sa.text("coalesce(not_before, '-infinity')"))


def downgrade() -> None:
    op.execute(
        "UPDATE batches SET state = 'closed', closed_at = now() "
        "WHERE not_before IS NOT NULL AND state <> 'closed'"
    )
    _accepting()
    op.drop_column("batches", "not_before")
    op.drop_index("ix_jobs_start_by", "jobs")
    op.drop_constraint(op.f("ck_jobs_start"), "jobs")
    for name in ("start_by", "not_before"):
        op.drop_column("jobs", name)
