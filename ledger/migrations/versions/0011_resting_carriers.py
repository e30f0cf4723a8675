"""Carriers whose flow run is suspended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("carriers", sa.Column("resting_since", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("carriers", "resting_since")
