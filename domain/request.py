"""What a user asks for. These models are also the form of the Prefect UI."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from qpuflow.domain.compilers import Compiler
from qpuflow.domain.digest import digest
from qpuflow.domain.max_cost import plain_cost

MAX_SOURCE_BYTES = 4_000_000
MAX_PROGRAMS = 500
MAX_POINTS = 1_000

Name = Annotated[str, Field(min_length=1, max_length=200)]


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the calendar has no such moment") from error


Moment = Annotated[AwareDatetime, AfterValidator(_utc)]
"""Given with its zone, kept in UTC."""


class ProgramFormat(StrEnum):
    OPENQASM2 = "openqasm2"
    OPENQASM3 = "openqasm3"
    QPY = "qpy"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Program(_Value):
    """One circuit as given."""

    name: Name = Field(
        default="program", description="How the program is called in tables and results."
    )
    source: str = Field(
        description="OpenQASM 2 or 3 text, a QPY file in base64, or the JSON of a pytket circuit "
        "or of an Amazon Braket program.",
        json_schema_extra={"format": "text"},
    )
    format: ProgramFormat | None = Field(
        default=None, description="Leave empty to read it from the OPENQASM line."
    )
    parameters: list[dict[str, float]] = Field(
        default_factory=list[dict[str, float]],
        max_length=MAX_POINTS,
        description="Values for the program's parameters; one result point for each entry.",
    )
    observables: dict[str, dict[str, float]] = Field(
        default_factory=dict[str, dict[str, float]],
        description='Pauli sums to estimate, by name: {"energy": {"ZZ": 1.0, "XI": 0.5}}. '
        "The rightmost letter acts on qubit 0.",
    )

    @field_validator("source")
    @classmethod
    def _bounded(cls, source: str) -> str:
        if not source.strip():
            raise ValueError("the program is empty")
        size = len(source.encode())
        if size > MAX_SOURCE_BYTES:
            raise ValueError(
                f"the program has {size:,} bytes, more than the {MAX_SOURCE_BYTES:,} accepted; "
                "split it, or send loops as OpenQASM 3 loops"
            )
        if source.lstrip()[:1] != "{":
            return source
        from qpuflow.domain.interchange import to_openqasm3

        return to_openqasm3(source)

    @field_validator("parameters")
    @classmethod
    def _finite(cls, points: list[dict[str, float]]) -> list[dict[str, float]]:
        for index, point in enumerate(points):
            for name, value in point.items():
                if not math.isfinite(value):
                    raise ValueError(
                        f"parameter {name!r} of point {index} is {value}, not a number"
                    )
        return points

    @field_validator("observables")
    @classmethod
    def _real(cls, observables: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        for name, terms in observables.items():
            if not terms:
                raise ValueError(f"observable {name!r} has no terms")
            for label, coefficient in terms.items():
                if not label or set(label) - set("IXYZ"):
                    raise ValueError(
                        f"{label!r} in observable {name!r} is no Pauli string (I X Y Z)"
                    )
                if not math.isfinite(coefficient):
                    raise ValueError(f"the coefficient of {label!r} in {name!r} is not a number")
        return observables


class JobOptions(_Value):
    """How the programs are compiled and run."""

    optimization_level: Annotated[int, Field(ge=0, le=3)] = Field(
        default=1, description="Of the compiler: 0 only maps, 3 works hardest."
    )
    compiler: Compiler | None = Field(
        default=None,
        description="qiskit, pytket, vendor (its own does it all), or best: qiskit and pytket at "
        "the same time, and the better one is kept. Empty: Qiskit, then the vendor's own as the "
        "QPU is set.",
    )
    compile_budget_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=30.0,
        description="Of best, for each program: when it is over, what is there is kept.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = Field(
        default=None, description="Fixes compilation and, on simulators, sampling."
    )
    method: Literal["automatic", "statevector", "stabilizer", "matrix_product_state"] = Field(
        default="automatic", description="Simulators only: how the state is represented."
    )
    memory: bool = Field(default=False, description="Keep every shot's bits, not only the counts.")
    measurement_level: Literal[0, 1, 2] = Field(
        default=2,
        description="2: bits. 1: points in the IQ plane, too. 0: raw traces. "
        "Most QPUs have 2 only.",
    )
    average: bool = Field(
        default=False, description="The mean of all shots in place of each, where a QPU can."
    )
    reset: Literal["passive", "active"] = Field(
        default="passive",
        description="Before each shot and by reset: wait until a qubit has relaxed, or look and "
        "turn it back, where a QPU can.",
    )
    mitigate_readout: bool = Field(
        default=False,
        description="Also undo misread bits, by what the QPU's last calibration found.",
    )
    max_cost: Annotated[str, AfterValidator(plain_cost)] | None = Field(
        default=None,
        description="Fail rather than cost more: 20 HQC, 1.50 USD, 5 credits; of QPU time 2m30s.",
    )


class JobRequest(_Value):
    """A job: programs for one QPU that are owned, queued, charged and answered together."""

    programs: Annotated[list[Program], Field(min_length=1, max_length=MAX_PROGRAMS)]
    shots: Annotated[int, Field(ge=1)] = Field(
        default=1024, description="Repetitions of each program."
    )
    qpu: Name | None = Field(
        default=None, title="QPU", description="Empty: the QPU that this deployment serves."
    )
    options: JobOptions = JobOptions()
    key: Name | None = Field(
        default=None,
        title="Idempotency key",
        description="The same key with the same content is the same job, never a second one.",
    )
    user: Name | None = Field(default=None, description="On whose behalf. Empty: the default user.")
    project: Name | None = Field(
        default=None, description="Who pays. Empty: the user's own project."
    )
    not_before: Moment | None = Field(
        default=None, title="Not before", description="The earliest start. Empty: at once."
    )
    start_by: Moment | None = Field(
        default=None,
        title="Start by",
        description="The latest start that is of use: a job that has not started then fails, and "
        "costs nothing. Empty: it waits for as long as it takes.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.not_before and self.start_by and self.start_by <= self.not_before:
            raise ValueError(
                f"start_by, {self.start_by:%Y-%m-%d %H:%M:%S %Z}, is not after not_before, "
                f"{self.not_before:%Y-%m-%d %H:%M:%S %Z}"
            )
        return self

    @field_validator("programs")
    @classmethod
    def _distinct(cls, programs: list[Program]) -> list[Program]:
        names = [program.name for program in programs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if not twice:
            return programs
        if set(twice) == {"program"}:
            return [p.model_copy(update={"name": f"program-{i}"}) for i, p in enumerate(programs)]
        raise ValueError(f"two programs are called {twice[0]!r}; give each a name of its own")

    def content_hash(self, qpu: str) -> str:
        """SHA-256 of all that decides the outcome: not the key, who asks, or when it may start."""
        content = self.model_dump(mode="json", include={"programs", "shots", "options"})
        return digest({"qpu": qpu, **content})
