"""What an Aer QPU's owner may decide. A Prefect block shows it as a form."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

ErrorRate = Annotated[float, Field(ge=0, le=0.5)]


class Noise(BaseModel, frozen=True, extra="forbid"):
    """Errors that strike at random, the same on every qubit."""

    one_qubit: ErrorRate = Field(
        default=0.0,
        title="One-qubit gate error",
        description="Depolarizing probability of each one-qubit gate; "
        "rz is exact where it is a change of frame.",
    )
    two_qubit: ErrorRate = Field(
        default=0.0,
        title="Two-qubit gate error",
        description="Depolarizing probability of each two-qubit gate.",
    )
    readout: ErrorRate = Field(
        default=0.0,
        title="Readout error",
        description="Probability that a measured bit is reported flipped.",
    )


class AerSettings(BaseModel, frozen=True, extra="forbid"):
    """One simulated QPU."""

    layout: Literal["all-to-all", "heavy-hex-127"] = Field(
        default="all-to-all",
        title="Layout",
        description="Which qubits are coupled: all with all, or as on a 127-qubit Eagle chip "
        "with its native gates rz, sx, x and cz.",
    )
    noise: Noise | None = Field(
        default=None, title="Noise", description="Empty: a perfect QPU. Only shots are random."
    )
    max_qubits: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=256,
        title="Most qubits",
        description="Of one program. More than memory holds as a state vector is possible for "
        "Clifford and weakly entangled programs. A heavy-hex layout has 127.",
    )
    max_shots: Annotated[int, Field(ge=1)] = Field(
        default=1_000_000, title="Most shots", description="Of one job."
    )
    max_memory_bytes: Annotated[int, Field(ge=1_000_000)] = Field(
        default=2 * 1024**3,
        title="Memory of one simulation",
        description="In bytes. A state vector of n qubits takes 16 * 2^n.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = Field(
        default=None,
        title="Seed",
        description="For jobs that bring none of their own. Empty: a fresh one for each.",
    )
    lanes: Annotated[int, Field(ge=1, le=256)] = Field(
        default=2, title="Lanes", description="How many jobs are simulated at once."
    )
