"""Jobs and all that hangs on them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

APPEND_ONLY = """
CREATE FUNCTION job_events_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('qpuflow.retention', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'job_events is append-only';
END $$;
"""
TRIGGER = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON job_events
FOR EACH ROW EXECUTE FUNCTION job_events_append_only();
"""


def upgrade() -> None:
    op.create_table(
        "charges",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("qpu", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Numeric(precision=18, scale=6), nullable=False),
        sa.Column("cost", sa.Numeric(precision=18, scale=6), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("seconds >= 0 AND cost >= 0", name=op.f("ck_charges_not_negative")),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name=op.f("fk_charges_project")),
        sa.ForeignKeyConstraint(["qpu"], ["qpus.name"], name=op.f("fk_charges_qpu")),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name=op.f("fk_charges_user")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_charges")),
    )
    op.create_index(
        op.f("ix_charges_project_qpu_created_at"),
        "charges",
        ["project", "qpu", "created_at"],
        unique=False,
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("qpu", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("shots", sa.Integer(), nullable=False),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("program_count", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("carriers_lost", sa.Integer(), nullable=False),
        sa.Column("estimate_seconds", sa.Float(), nullable=False),
        sa.Column(
            "timings",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asks_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("moved_up_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('completed', 'failed', 'cancelled'))",
            name=op.f("ck_jobs_finished"),
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'preparing', 'running', 'waiting', 'ambiguous', "
            "'completed', 'failed', 'cancelled')",
            name=op.f("ck_jobs_state"),
        ),
        sa.CheckConstraint(
            "shots >= 1 AND attempt >= 1 AND estimate_seconds >= 0", name=op.f("ck_jobs_numbers")
        ),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_jobs_batch_id")),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name=op.f("fk_jobs_project")),
        sa.ForeignKeyConstraint(["qpu"], ["qpus.name"], name=op.f("fk_jobs_qpu")),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name=op.f("fk_jobs_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("number", name=op.f("uq_jobs_number")),
        sa.UniqueConstraint("user", "key", name=op.f("uq_jobs_user_key")),
    )
    op.create_index(
        "ix_jobs_asking",
        "jobs",
        ["qpu", "number"],
        unique=False,
        postgresql_where=sa.text("asks_since IS NOT NULL"),
    )
    op.create_index(op.f("ix_jobs_batch_id"), "jobs", ["batch_id"], unique=False)
    op.create_index(
        "ix_jobs_open",
        "jobs",
        ["qpu", "created_at"],
        unique=False,
        postgresql_where=sa.text("state NOT IN ('completed', 'failed', 'cancelled')"),
    )
    op.create_index(
        "ix_jobs_queued",
        "jobs",
        ["batch_id", "number"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_jobs_to_start",
        "jobs",
        ["qpu", "project", "number"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'preparing')"),
    )
    op.create_index(op.f("ix_jobs_user_created_at"), "jobs", ["user", "created_at"], unique=False)
    op.create_table(
        "intents",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "state IN ('open', 'accepted', 'refused', 'ambiguous')", name=op.f("ck_intents_state")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_intents_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_intents")),
        sa.UniqueConstraint("job_id", "attempt", name=op.f("uq_intents_job_id_attempt")),
    )
    op.create_table(
        "job_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=True),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_job_events_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_events")),
    )
    op.create_index(op.f("ix_job_events_job_id_id"), "job_events", ["job_id", "id"], unique=False)
    op.create_table(
        "programs",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("source_hash", sa.Text(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("observables", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("num_qubits", sa.Integer(), nullable=False),
        sa.Column("num_clbits", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "format IN ('openqasm2', 'openqasm3', 'qpy')", name=op.f("ck_programs_format")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_programs_job_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["source_hash"], ["payloads.hash"], name=op.f("fk_programs_source_hash")
        ),
        sa.PrimaryKeyConstraint("job_id", "position", name=op.f("pk_programs")),
        sa.UniqueConstraint("job_id", "name", name=op.f("uq_programs_job_id_name")),
    )
    op.create_index(op.f("ix_programs_source_hash"), "programs", ["source_hash"], unique=False)
    op.create_table(
        "executed",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("payload_hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id", "position"],
            ["programs.job_id", "programs.position"],
            name="fk_executed_programs",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["payload_hash"], ["payloads.hash"], name=op.f("fk_executed_payload_hash")
        ),
        sa.PrimaryKeyConstraint("job_id", "position", "part", name=op.f("pk_executed")),
    )
    op.create_index(op.f("ix_executed_payload_hash"), "executed", ["payload_hash"], unique=False)
    op.create_table(
        "results",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("payload_hash", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["job_id", "position"],
            ["programs.job_id", "programs.position"],
            name="fk_results_programs",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["payload_hash"], ["payloads.hash"], name=op.f("fk_results_payload_hash")
        ),
        sa.PrimaryKeyConstraint("job_id", "position", name=op.f("pk_results")),
    )
    op.create_index(op.f("ix_results_payload_hash"), "results", ["payload_hash"], unique=False)
    op.create_table(
        "tickets",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("remote_id", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["token"], ["intents.token"], name=op.f("fk_tickets_token"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_tickets")),
    )
    op.execute(APPEND_ONLY)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.drop_table("tickets")
    op.drop_index(op.f("ix_results_payload_hash"), table_name="results")
    op.drop_table("results")
    op.drop_index(op.f("ix_executed_payload_hash"), table_name="executed")
    op.drop_table("executed")
    op.drop_index(op.f("ix_programs_source_hash"), table_name="programs")
    op.drop_table("programs")
    op.drop_index(op.f("ix_job_events_job_id_id"), table_name="job_events")
    op.drop_table("job_events")
    op.drop_table("intents")
    op.drop_index(op.f("ix_jobs_user_created_at"), table_name="jobs")
    op.drop_index(
        "ix_jobs_to_start",
        table_name="jobs",
        postgresql_where=sa.text("state IN ('queued', 'preparing')"),
    )
    op.drop_index(
        "ix_jobs_asking",
        table_name="jobs",
        postgresql_where=sa.text("asks_since IS NOT NULL"),
    )
    op.drop_index("ix_jobs_queued", table_name="jobs", postgresql_where=sa.text("state = 'queued'"))
    op.drop_index(
        "ix_jobs_open",
        table_name="jobs",
        postgresql_where=sa.text("state NOT IN ('completed', 'failed', 'cancelled')"),
    )
    op.drop_index(op.f("ix_jobs_batch_id"), table_name="jobs")
    op.drop_table("jobs")
    op.drop_index(op.f("ix_charges_project_qpu_created_at"), table_name="charges")
    op.drop_table("charges")
    op.execute("DROP FUNCTION job_events_append_only()")
