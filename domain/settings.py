"""Settings: flag, then environment, then ``qpuflow.toml``, then the default."""

from __future__ import annotations

import getpass
import json
from functools import cached_property
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from qpuflow.domain.booking import BookingRules
from qpuflow.domain.errors import InputError
from qpuflow.domain.policy import PolicyRules
from qpuflow.domain.steps import QpuRules, Steps

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


class Settings(BaseSettings):
    """What an installation may decide. Environment variables are named ``QPUFLOW_<FIELD>``.

    Those of a group are ``QPUFLOW_<GROUP>__<FIELD>``.
    """

    model_config = SettingsConfigDict(
        env_prefix="QPUFLOW_", env_nested_delimiter="__", frozen=True, extra="ignore"
    )

    home: Path = Field(
        default=Path("~/.qpuflow"), description="Where state lives: database, logs, payloads."
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="The ledger's PostgreSQL, as postgresql://user:password@host/database. "
        "Empty: the embedded server that `qpuflow up` starts.",
    )
    prefect_database_url: SecretStr | None = Field(
        default=None, description="Prefect's own database, when the ledger's is not embedded."
    )
    prefect_api_url: str | None = Field(
        default=None, description="Empty: the server that `qpuflow up` starts."
    )
    port: Port = Field(default=4200, description="Of Prefect's API and pages. 0: any free one.")
    payload_url: str | None = Field(
        default=None,
        description="An fsspec URL for payloads over 1 MB. Empty: a folder under the home.",
    )
    user: str = Field(default_factory=_login, description="Who submits. Default: the OS login.")
    project: str | None = Field(default=None, description="Who pays. Empty: the user's own.")
    workers: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("aer", "aer-heavyhex", "qblox-dummy"),
        description="QPUs for which `qpuflow up` runs a worker. Others run theirs elsewhere.",
    )
    operator: bool = Field(
        default=False, description="Act as an operator: see and cancel everybody's jobs."
    )
    linger_seconds: float = Field(
        default=2.0, ge=0, description="How long a batch waits for its user's next job."
    )
    heartbeat_seconds: Seconds = Field(
        default=5.0, description="How often a carrier tells the ledger that it lives."
    )
    lost_after_seconds: Seconds = Field(
        default=30.0, description="Silence after which a carrier's jobs are taken back."
    )
    max_attempts: Annotated[int, Field(ge=1)] = Field(
        default=5, description="Carriers a job may lose before it fails with the reason."
    )
    refused_pause_seconds: Seconds = Field(
        default=1.0,
        description="After which a QPU that refused a job is asked again; doubled each time.",
    )
    longest_pause_seconds: Seconds = Field(
        default=60.0,
        description="For which a job waits at a QPU that refused it; for longer it queues again. "
        "One that is away is asked this often.",
    )
    transpile_timeout_seconds: Seconds = Field(
        default=120.0, description="After which compiling one program is given up."
    )
    run_timeout_seconds: Seconds = Field(
        default=86_400.0, description="After which a job that a QPU accepted is stopped."
    )
    suspend_after_seconds: Seconds = Field(
        default=10.0,
        description="How long a run waits in its process for jobs in the queue of a cloud.",
    )
    zombie_after_seconds: Annotated[float, Field(ge=10)] = Field(
        default=400.0,
        description="Silence after which Prefect calls a run crashed. More than twice Prefect's "
        "own PREFECT_FLOWS_HEARTBEAT_FREQUENCY, 180 s.",
    )
    unstarted_after_seconds: Annotated[float, Field(ge=10)] = Field(
        default=120.0, description="After which a run that was claimed is offered again."
    )
    endless_after_seconds: Annotated[float, Field(ge=10)] = Field(
        default=3600.0, description="After which a run that carries no jobs is ended."
    )
    retention_days: Annotated[int, Field(ge=1)] = Field(
        default=90, description="How long finished jobs and Prefect's runs are kept."
    )
    telemetry_days: Annotated[int, Field(ge=1)] = Field(
        default=30, description="How long readings of instruments and cryostats are kept."
    )
    steps: Steps = Field(
        default_factory=Steps, description="How each step is repeated, and its time-out."
    )
    policy: PolicyRules = Field(
        default_factory=PolicyRules, description="Who runs next, and what a booking is worth."
    )
    booking: BookingRules = Field(default_factory=BookingRules, description="What may be booked.")
    time_zone: str | None = Field(
        default=None,
        description="Of times that are typed without one, as Europe/Berlin. Empty: the system's.",
    )

    @field_validator("workers", mode="before")
    @classmethod
    def _named(cls, given: object) -> object:
        """`aer, fridge`, or a list as JSON has it."""
        if not isinstance(given, str):
            return given
        if given.lstrip().startswith("["):
            return json.loads(given)
        return [name for one in given.split(",") if (name := one.strip())]

    def for_qpu(self, rules: QpuRules) -> Settings:
        """The same, but for what a QPU has of its own."""
        return self.model_copy(update=rules.given) if rules.given else self

    @cached_property
    def zone(self) -> ZoneInfo:
        """Where the user's clock is."""
        from tzlocal import get_localzone

        try:
            return ZoneInfo(self.time_zone) if self.time_zone else get_localzone()
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise InputError(
                f"There is no time zone {self.time_zone!r}", remedy="Write it as Europe/Berlin."
            ) from error

    @cached_property
    def root(self) -> Path:
        """The home as an absolute path."""
        return self.home.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = TomlConfigSettingsSource(settings_cls, toml_file=Path("qpuflow.toml"))
        return init_settings, env_settings, toml
