"""Calibration history, and readings of instruments and cryostats."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0011"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "calibrations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("qpu", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Text(), nullable=False),
        sa.Column("qubit", sa.Integer(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("error", sa.Float(), nullable=False),
        sa.Column("shots", sa.Integer(), nullable=False),
        sa.Column("measured_at", MOMENT, nullable=False),
        sa.Column("in_band", sa.Boolean(), nullable=True),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_calibrations"),
        sa.ForeignKeyConstraint(["qpu"], ["qpus.name"], name="fk_calibrations_qpu"),
        sa.CheckConstraint("quantity IN ('readout', 't1', 't2_echo', 'gate')", name="quantity"),
    )
    op.create_index(
        "ix_calibrations_qpu_quantity_qubit_measured_at",
        "calibrations",
        ["qpu", "quantity", "qubit", "measured_at"],
    )
    op.create_table(
        "telemetry",
        sa.Column("qpu", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("qpu", "channel", "at", name="pk_telemetry"),
        sa.ForeignKeyConstraint(["qpu"], ["qpus.name"], name="fk_telemetry_qpu"),
    )
    op.create_index("ix_telemetry_at", "telemetry", ["at"], postgresql_using="brin")


def downgrade() -> None:
    op.drop_table("telemetry")
    op.drop_table("calibrations")
