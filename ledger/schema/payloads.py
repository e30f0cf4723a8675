"""Bytes by their content: programs, compiled programs and results."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from qpuflow.ledger.schema.base import Base, CreatedAt


def _of_a_program(table: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["job_id", "position"],
        ["programs.job_id", "programs.position"],
        name=f"fk_{table}_programs",
        ondelete="CASCADE",
    )


class Payload(Base):
    """Up to 1 MB in the row, larger ones behind an fsspec URL."""

    __tablename__ = "payloads"
    __table_args__ = (
        CheckConstraint("(body IS NULL) <> (url IS NULL)", name="in_one_place"),
        CheckConstraint("body IS NULL OR octet_length(body) = size_bytes", name="size"),
    )

    hash: Mapped[str] = mapped_column(primary_key=True)
    size_bytes: Mapped[int]
    media_type: Mapped[str]
    body: Mapped[bytes | None]
    url: Mapped[str | None]
    created_at: Mapped[CreatedAt]


class Transpilation(Base):
    """The cache of compiled programs, shared by all processes; one row a circuit."""

    __tablename__ = "transpilations"

    program_hash: Mapped[str] = mapped_column(primary_key=True)
    target_hash: Mapped[str] = mapped_column(primary_key=True)
    options_hash: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    """Several where observables need several measurement bases."""
    payload_hash: Mapped[str] = mapped_column(ForeignKey("payloads.hash"), index=True)
    about: Mapped[dict[str, Any]]
    """Registers, layout, depth and operations of the compiled circuit."""
    created_at: Mapped[CreatedAt]


class Executed(Base):
    """The compiled circuits that a program really ran as, in QPY."""

    __tablename__ = "executed"
    __table_args__ = (_of_a_program("executed"),)

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    payload_hash: Mapped[str] = mapped_column(ForeignKey("payloads.hash"), index=True)


class ResultRow(Base):
    """One dataset a program."""

    __tablename__ = "results"
    __table_args__ = (_of_a_program("results"),)

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    payload_hash: Mapped[str] = mapped_column(ForeignKey("payloads.hash"), index=True)
    created_at: Mapped[CreatedAt]
