"""Where the ledger and Prefect answer: as the settings say, else as the running stack recorded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_serializer

from qpuflow.domain.errors import Unavailable
from qpuflow.domain.settings import Settings


class Endpoints(BaseModel):
    model_config = ConfigDict(frozen=True)

    ledger_url: SecretStr
    prefect_api_url: str
    ui_url: str

    @field_serializer("ledger_url", when_used="json")
    def _reveal(self, url: SecretStr) -> str:
        return url.get_secret_value()


class ProcessIdentity(BaseModel):
    """One process for ever: a pid is used again, a pid with its birth in one boot is not."""

    model_config = ConfigDict(frozen=True)

    pid: int
    birth: int
    """Clock ticks from boot to the start of the process."""
    boot: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """None when no such process runs; a zombie does not run."""
        try:
            stat = Path("/proc", str(pid), "stat").read_text(encoding="utf-8", errors="replace")
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, *fields = stat.rpartition(")")[2].split()
        return None if state in "ZX" else cls(pid=pid, birth=int(fields[18]), boot=boot)

    @property
    def is_alive(self) -> bool:
        return ProcessIdentity.of(self.pid) == self


class PartRecord(BaseModel):
    """A part of the stack as its supervisor last saw it."""

    model_config = ConfigDict(frozen=True)

    name: str
    phase: str
    pid: int | None = None
    restarts: int = 0


class StackRecord(BaseModel):
    """What a running stack writes down for everybody else on this machine."""

    model_config = ConfigDict(frozen=True)

    guard: ProcessIdentity
    supervisor: ProcessIdentity
    ready: bool = False
    endpoints: Endpoints
    parts: tuple[PartRecord, ...] = ()

    @property
    def is_alive(self) -> bool:
        return self.supervisor.is_alive or self.guard.is_alive

    def write(self, settings: Settings) -> None:
        """Whole or not at all, and readable by its owner only: it holds a password."""
        file = record_file(settings)
        unfinished = file.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(self.model_dump_json(indent=2))
        unfinished.replace(file)


def record_file(settings: Settings) -> Path:
    return settings.root / "stack.json"


def find_record(settings: Settings) -> StackRecord | None:
    """The stack that runs now under this home, ready or not."""
    try:
        content = record_file(settings).read_text(encoding="utf-8")
        record = StackRecord.model_validate_json(content)
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    return record if record.is_alive else None


def find_endpoints(settings: Settings) -> Endpoints:
    """Raises `Unavailable` when neither the settings nor a running stack tell."""
    if settings.database_url and settings.prefect_api_url:
        return endpoints(settings.database_url, settings.prefect_api_url)
    record = find_record(settings)
    if record is None:
        raise Unavailable(
            f"No qpuflow stack is running for {settings.root}",
            remedy="Start it with `qpuflow up --detach`.",
        )
    if not record.ready:
        raise Unavailable(
            f"The qpuflow stack for {settings.root} is still starting",
            remedy="Try again in some seconds; `qpuflow logs` shows what it does.",
        )
    return endpoints(
        settings.database_url or record.endpoints.ledger_url,
        settings.prefect_api_url or record.endpoints.prefect_api_url,
    )


def endpoints(ledger_url: SecretStr, prefect_api_url: str) -> Endpoints:
    api = prefect_api_url.rstrip("/")
    return Endpoints(ledger_url=ledger_url, prefect_api_url=api, ui_url=api.removesuffix("/api"))
