"""What an owner of an IBM QPU may decide. A Prefect block shows it as a form."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, model_validator

LOCAL = "local:"


class IbmSettings(BaseModel, frozen=True, extra="forbid"):
    """One backend of IBM Quantum, or the model of one on this machine."""

    backend: Annotated[str, Field(pattern=r"^(local:fake_)?[a-z0-9_]+$")] = Field(
        title="Backend",
        description="As ibm_fez; local:fake_fez is a model of it on this machine, with its noise, "
        "which needs no account.",
    )
    instance: str | None = Field(
        default=None,
        title="Instance",
        description="Its CRN, as the IBM Quantum Platform shows it. A local model needs none.",
    )
    url: str = Field(
        default="https://quantum.cloud.ibm.com/api/v1",
        title="API",
        description="https://eu-de.quantum.cloud.ibm.com/api/v1 for instances in Europe.",
    )
    iam_url: str = Field(default="https://iam.cloud.ibm.com", title="Identity service")
    session_id: str | None = Field(
        default=None,
        title="Session",
        description="Of a session that was opened elsewhere: jobs run in it, and its time is shown "
        "among the bookings. Empty: each job queues by itself.",
    )
    max_execution_seconds: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        title="Longest execution",
        description="In seconds of QPU time. A job whose estimate is above is refused, and IBM "
        "cancels one that runs longer.",
    )
    submissions_per_minute: Annotated[float, Field(gt=0)] = Field(
        default=5.0,
        title="Submissions a minute",
        description="IBM takes 5 a minute from a user. A job is one submission, however many "
        "programs it has.",
    )
    settle_seconds: Annotated[float, Field(ge=0)] = Field(
        default=60.0,
        title="Patience with lists",
        description="How long a job whose reply was lost is looked for by its tag before it is "
        "said not to have been accepted.",
    )
    poll_seconds: Annotated[float, Field(gt=0)] = Field(
        default=1.0, title="First pause", description="Between two looks at a job; it grows."
    )
    lanes: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, title="Lanes", description="How many jobs a local model runs at once."
    )

    @model_validator(mode="after")
    def _instance_that_pays(self) -> IbmSettings:
        if not self.is_local and not self.instance:
            raise ValueError("a backend in the cloud needs an instance, which pays")
        return self

    @property
    def is_local(self) -> bool:
        return self.backend.startswith(LOCAL)
