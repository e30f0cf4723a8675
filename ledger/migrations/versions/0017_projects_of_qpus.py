"""QPUs that are for some projects only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column(
        "qpus", sa.Column("projects", ARRAY(sa.Text), server_default="{}", nullable=False)
    )


def downgrade() -> None:
    op.drop_column("qpus", "projects")
