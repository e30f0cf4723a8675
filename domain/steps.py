"""How often, how late and for how long the steps of a job are tried, by default or on one QPU."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0)]
Delays = tuple[Annotated[float, Field(ge=0)], ...]


class StepRules(BaseModel):
    """One step. It is repeated only when something did not answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retry_delays_seconds: Delays = Field(
        default=(1.0, 3.0, 10.0, 30.0),
        title="Delays before repeating, in seconds",
        description="One for each time that the step is repeated. None: it is not.",
    )
    timeout_seconds: Seconds | None = Field(
        default=None,
        title="Time-out of one try, in seconds",
        description="For all jobs that take the step together. Empty: as long as it takes.",
    )


class Steps(BaseModel):
    """The six steps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    transpile: StepRules = StepRules()
    book_slot: StepRules = StepRules()
    dispatch: StepRules = StepRules()
    wait: StepRules = StepRules()
    post_process: StepRules = StepRules()
    store: StepRules = StepRules()

    def of(self, step: str) -> StepRules:
        """Of the step with this name."""
        return getattr(self, step)


class QpuRules(BaseModel):
    """What one QPU has otherwise than its installation. Empty: the installation's setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_attempts: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        title="Attempts",
        description="Of a job, and carriers that it may lose, before it fails.",
    )
    refused_pause_seconds: Seconds | None = Field(
        default=None,
        title="First pause after a refusal, in seconds",
        description="Doubled with each refusal of the same attempt.",
    )
    longest_pause_seconds: Seconds | None = Field(
        default=None,
        title="Longest pause after a refusal, in seconds",
        description="For longer a job queues again. A QPU that is away is asked this often.",
    )
    transpile_timeout_seconds: Seconds | None = Field(
        default=None, title="Compiling, in seconds", description="At most, for one program."
    )
    run_timeout_seconds: Seconds | None = Field(
        default=None, title="Running, in seconds", description="At most, once a QPU has a job."
    )
    steps: Steps | None = Field(
        default=None, title="Steps", description="How each step is repeated, and its time-out."
    )

    @property
    def given(self) -> dict[str, Any]:
        """Those that are not the installation's."""
        return {name: value for name, value in self if value is not None}
