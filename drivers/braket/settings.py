"""What an owner of a Braket QPU may decide. A Prefect block shows it as a form."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field, model_validator

LOCAL = ("local:braket_sv", "local:braket_dm")

REGION_OF_SIMULATORS = "us-east-1"


class Reservation(BaseModel, frozen=True, extra="forbid"):
    """Time on a device that Amazon has reserved for the account (Braket Direct)."""

    arn: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:braket:.+:reservation/.+$")] = Field(
        title="ARN", description="As the Braket console shows it."
    )
    starts_at: AwareDatetime = Field(title="Starts at")
    ends_at: AwareDatetime = Field(title="Ends at")

    @model_validator(mode="after")
    def _forwards(self) -> Reservation:
        if self.ends_at <= self.starts_at:
            raise ValueError("a reservation ends after it starts")
        return self


class BraketSettings(BaseModel, frozen=True, extra="forbid"):
    """One device of Amazon Braket, or one of its simulators on this machine."""

    device: Annotated[str, Field(pattern=r"^(arn:aws[a-z-]*:braket:.+|local:braket_(sv|dm))$")] = (
        Field(
            title="Device",
            description="Its ARN, or local:braket_sv for a simulator on this machine, which needs "
            "no account.",
        )
    )
    bucket: str | None = Field(
        default=None,
        title="S3 bucket",
        description="Where Braket puts results; its name begins with amazon-braket-. "
        "A local simulator needs none.",
    )
    prefix: str = Field(
        default="qpuflow", title="S3 folder", description="In the bucket, for all jobs of this QPU."
    )
    region: str | None = Field(
        default=None,
        title="AWS region",
        description="Empty: the device's, and us-east-1 for simulators in the cloud.",
    )
    endpoint_url: str | None = Field(
        default=None,
        title="Endpoint",
        description="Of Braket and S3, where they are not at AWS: a proxy, or a fake cloud.",
    )
    task_price_usd: Annotated[float, Field(ge=0)] = Field(
        default=0.30,
        title="Price of a task",
        description="In US dollars; the price of a shot comes from the device. "
        "0.30 for every QPU in https://aws.amazon.com/braket/pricing (2026).",
    )
    max_cost_usd: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        title="Most that a job may cost",
        description="In US dollars, by the estimate. A job above is refused.",
    )
    shot_seconds: Annotated[float, Field(gt=0)] = Field(
        default=1e-3,
        title="Time of a shot",
        description="In seconds, for estimates: 1e-3 for superconducting devices, "
        "about 0.1 for trapped ions.",
    )
    settle_seconds: Annotated[float, Field(ge=0)] = Field(
        default=30.0,
        title="Patience with lists",
        description="Braket's lists lag behind. So long a task is looked for before it is said "
        "to be missing.",
    )
    poll_seconds: Annotated[float, Field(gt=0)] = Field(
        default=0.5, title="First pause", description="Between two looks at a task; it grows."
    )
    reservations: tuple[Reservation, ...] = Field(
        default=(),
        title="Reservations",
        description="Shown among the bookings. Tasks created in one of them run under it.",
    )
    lanes: Annotated[int, Field(ge=1, le=256)] = Field(
        default=2, title="Lanes", description="How many jobs a local simulator runs at once."
    )

    @model_validator(mode="after")
    def _bucket_where_results_go(self) -> BraketSettings:
        if not self.is_local and not self.bucket:
            raise ValueError("a device in the cloud needs a bucket, for its results")
        return self

    @property
    def is_local(self) -> bool:
        return self.device in LOCAL

    @property
    def device_region(self) -> str:
        """An ARN is arn:aws:braket:REGION:ACCOUNT:device/...; simulators have no region in it."""
        return self.region or self.device.split(":")[3] or REGION_OF_SIMULATORS
