"""Accounts, QPUs, bookings, batches, carriers and payloads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
    op.create_table(
        "payloads",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(body IS NULL) <> (url IS NULL)", name=op.f("ck_payloads_in_one_place")
        ),
        sa.CheckConstraint(
            "body IS NULL OR octet_length(body) = size_bytes", name=op.f("ck_payloads_size")
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_payloads")),
    )
    op.create_table(
        "projects",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_projects")),
    )
    op.create_table(
        "qpus",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("block", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("lanes", sa.Integer(), nullable=False),
        sa.Column("device", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("control", sa.Text(), server_default="open", nullable=False),
        sa.Column("control_reason", sa.Text(), nullable=True),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("synced_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('online', 'offline', 'maintenance')", name=op.f("ck_qpus_status")
        ),
        sa.CheckConstraint(
            "control IN ('open', 'paused', 'draining', 'offline')", name=op.f("ck_qpus_control")
        ),
        sa.CheckConstraint("lanes >= 1", name=op.f("ck_qpus_lanes")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_qpus")),
    )
    op.create_table(
        "users",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_users")),
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("qpu", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("job_count", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('single', 'shared')", name=op.f("ck_batches_kind")),
        sa.CheckConstraint("state IN ('open', 'running', 'closed')", name=op.f("ck_batches_state")),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name=op.f("fk_batches_project")),
        sa.ForeignKeyConstraint(["qpu"], ["qpus.name"], name=op.f("fk_batches_qpu")),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name=op.f("fk_batches_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
    )
    op.create_index(
        "uq_batches_accepting",
        "batches",
        ["qpu", "user", "project"],
        unique=True,
        postgresql_where=sa.text("kind = 'shared' AND state <> 'closed'"),
    )
    op.create_table(
        "bookings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("qpu", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("note", sa.Text(), nullable=True),
        postgresql.ExcludeConstraint(
            (sa.column("qpu"), "="),
            (sa.text("tstzrange(starts_at, ends_at)"), "&&"),
            where=sa.text("source = 'qpuflow' AND state = 'active'"),
            using="gist",
            name="ex_bookings_one_at_a_time",
        ),
        sa.CheckConstraint(
            "kind <> 'project' OR project IS NOT NULL", name=op.f("ck_bookings_owner")
        ),
        sa.CheckConstraint("kind IN ('project', 'maintenance')", name=op.f("ck_bookings_kind")),
        sa.CheckConstraint(
            "state IN ('active', 'released', 'cancelled')", name=op.f("ck_bookings_state")
        ),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_bookings_forwards")),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.name"], name=op.f("fk_bookings_created_by")
        ),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name=op.f("fk_bookings_project")),
        sa.ForeignKeyConstraint(["qpu"], ["qpus.name"], name=op.f("fk_bookings_qpu")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bookings")),
    )
    op.create_index(op.f("ix_bookings_qpu_ends_at"), "bookings", ["qpu", "ends_at"], unique=False)
    op.create_table(
        "members",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.CheckConstraint("role IN ('user', 'operator')", name=op.f("ck_members_role")),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name=op.f("fk_members_project")),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name=op.f("fk_members_user")),
        sa.PrimaryKeyConstraint("project", "user", name=op.f("pk_members")),
    )
    op.create_table(
        "transpilations",
        sa.Column("program_hash", sa.Text(), nullable=False),
        sa.Column("target_hash", sa.Text(), nullable=False),
        sa.Column("options_hash", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("payload_hash", sa.Text(), nullable=False),
        sa.Column("about", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["payload_hash"], ["payloads.hash"], name=op.f("fk_transpilations_payload_hash")
        ),
        sa.PrimaryKeyConstraint(
            "program_hash", "target_hash", "options_hash", "part", name=op.f("pk_transpilations")
        ),
    )
    op.create_index(
        op.f("ix_transpilations_payload_hash"), "transpilations", ["payload_hash"], unique=False
    )
    op.create_table(
        "carriers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("flow_run_id", sa.Uuid(), nullable=True),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lost_because", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'live', 'done', 'lost')", name=op.f("ck_carriers_state")
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.id"], name=op.f("fk_carriers_batch_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_carriers")),
        sa.UniqueConstraint("batch_id", "number", name=op.f("uq_carriers_batch_id_number")),
    )
    op.create_index(op.f("ix_carriers_flow_run_id"), "carriers", ["flow_run_id"], unique=False)
    op.create_index(
        "ix_carriers_outbox",
        "carriers",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "uq_carriers_current",
        "carriers",
        ["batch_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('pending', 'live')"),
    )
    op.create_table(
        "leases",
        sa.Column("qpu", sa.Text(), nullable=False),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False),
        sa.Column("carrier_id", sa.Uuid(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("counted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["carrier_id"], ["carriers.id"], name=op.f("fk_leases_carrier_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["qpu"], ["qpus.name"], name=op.f("fk_leases_qpu")),
        sa.PrimaryKeyConstraint("qpu", "fencing_token", name=op.f("pk_leases")),
    )
    op.create_index(op.f("ix_leases_carrier_id"), "leases", ["carrier_id"], unique=False)
    op.create_index(
        "ix_leases_held",
        "leases",
        ["qpu"],
        unique=False,
        postgresql_where=sa.text("released_at IS NULL"),
    )
    op.create_index(
        op.f("ix_leases_qpu_project_released_at"),
        "leases",
        ["qpu", "project", "released_at"],
        unique=False,
    )
    op.create_index(
        "ix_leases_uncounted",
        "leases",
        ["qpu"],
        unique=False,
        postgresql_where=sa.text("released_at IS NOT NULL AND NOT counted"),
    )
    op.create_table(
        "usages",
        sa.Column("qpu", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["qpu"], ["qpus.name"], name=op.f("fk_usages_qpu")),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name=op.f("fk_usages_user")),
        sa.PrimaryKeyConstraint("qpu", "user", name=op.f("pk_usages")),
    )


def downgrade() -> None:
    op.drop_table("usages")
    op.drop_index(
        "ix_leases_uncounted",
        table_name="leases",
        postgresql_where=sa.text("released_at IS NOT NULL AND NOT counted"),
    )
    op.drop_index(op.f("ix_leases_qpu_project_released_at"), table_name="leases")
    op.drop_index(
        "ix_leases_held", table_name="leases", postgresql_where=sa.text("released_at IS NULL")
    )
    op.drop_index(op.f("ix_leases_carrier_id"), table_name="leases")
    op.drop_table("leases")
    op.drop_index(
        "uq_carriers_current",
        table_name="carriers",
        postgresql_where=sa.text("state IN ('pending', 'live')"),
    )
    op.drop_index(
        "ix_carriers_outbox", table_name="carriers", postgresql_where=sa.text("state = 'pending'")
    )
    op.drop_index(op.f("ix_carriers_flow_run_id"), table_name="carriers")
    op.drop_table("carriers")
    op.drop_index(op.f("ix_transpilations_payload_hash"), table_name="transpilations")
    op.drop_table("transpilations")
    op.drop_table("members")
    op.drop_index(op.f("ix_bookings_qpu_ends_at"), table_name="bookings")
    op.drop_table("bookings")
    op.drop_index(
        "uq_batches_accepting",
        table_name="batches",
        postgresql_where=sa.text("kind = 'shared' AND state <> 'closed'"),
    )
    op.drop_table("batches")
    op.drop_table("users")
    op.drop_table("qpus")
    op.drop_table("projects")
    op.drop_table("payloads")
