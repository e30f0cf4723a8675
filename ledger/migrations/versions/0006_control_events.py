"""The history of what operators let a QPU do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "control_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("qpu", sa.Text(), nullable=False),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("from_control", sa.Text(), nullable=False),
        sa.Column("to_control", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["qpu"], ["qpus.name"], name=op.f("fk_control_events_qpu")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_control_events")),
    )
    op.create_index(op.f("ix_control_events_qpu_id"), "control_events", ["qpu", "id"])


def downgrade() -> None:
    op.drop_table("control_events")
