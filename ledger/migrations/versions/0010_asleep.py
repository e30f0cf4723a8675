"""Carriers that sleep while the QPU has all of their jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("carriers", sa.Column("asleep_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("carriers", "asleep_at")
