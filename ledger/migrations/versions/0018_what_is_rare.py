"""What is rare among the jobs and batches of years is found without reading them all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_INDEXES = {
    "ix_jobs_moved_up": ("jobs", "batch_id", "moved_up_at IS NOT NULL AND state = 'queued'"),
    "ix_jobs_at_qpu": ("jobs", "batch_id", "state IN ('running', 'waiting', 'ambiguous')"),
    "ix_batches_later": ("batches", "not_before", "not_before IS NOT NULL"),
}


def upgrade() -> None:
    for name, (table, column, where) in _INDEXES.items():
        op.create_index(name, table, [column], postgresql_where=sa.text(where))


def downgrade() -> None:
    for name, (table, _, _) in _INDEXES.items():
        op.drop_index(name, table)
