"""What a QPU says about itself, as a value that can be stored, compared and hashed."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from qpuflow.domain.branches import Branching
from qpuflow.domain.compilers import Compiler
from qpuflow.domain.digest import digest


class DeviceStatus(StrEnum):
    ONLINE = "online"
    OFFLINE = "offline"
    MAINTENANCE = "maintenance"


class Control(StrEnum):
    """What an operator lets a QPU do."""

    OPEN = "open"
    PAUSED = "paused"
    """Jobs are accepted, and none starts."""
    DRAINING = "draining"
    """What is queued runs; nothing more is accepted."""
    OFFLINE = "offline"
    """Nothing is accepted, and nothing starts."""

    @property
    def accepts(self) -> bool:
        return self in (Control.OPEN, Control.PAUSED)

    @property
    def starts(self) -> bool:
        return self in (Control.OPEN, Control.DRAINING)


def stopped(qpu: str, control: Control, reason: str | None) -> str:
    """What those are told whose jobs do not start."""
    return f"{qpu} is {control.value}: {reason or 'no reason was given'}"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GateSite(_Value):
    """Where a gate exists, and how well it does there."""

    qubits: tuple[int, ...]
    duration_seconds: float | None = None
    error: float | None = None


class Gate(_Value):
    """A native gate by its Qiskit name. No sites: anywhere, between any qubits."""

    name: str
    sites: tuple[GateSite, ...] | None = None


class Limits(_Value):
    max_qubits: int = Field(description="Qubits of one program as the user wrote it.")
    max_shots: int
    max_programs: int = 500
    memory_bytes: int | None = Field(default=None, description="What a simulation may use.")


class Pace(_Value):
    """How long work takes, for an estimate before anything is compiled: rather too long.

    The defaults are those of superconducting chips, where the reset of the qubits between shots
    takes most of the time (250 µs on IBM's).
    """

    job_seconds: float = Field(default=1.0, ge=0, description="Once a job.")
    circuit_seconds: float = Field(default=0.01, ge=0, description="Once a circuit.")
    shot_seconds: float = Field(default=3e-4, ge=0, description="Each shot of a circuit.")
    layer_seconds: float = Field(default=1e-6, ge=0, description="Each layer of gates of a shot.")


class Device(_Value):
    """A QPU's description.

    ``outside_effects`` is False only for a simulator inside our own process: running it again
    after a crash costs nobody anything.
    """

    name: str
    num_qubits: int
    gates: tuple[Gate, ...]
    limits: Limits
    status: DeviceStatus = DeviceStatus.ONLINE
    status_reason: str | None = None
    outside_effects: bool = True
    simulator: bool = False
    interruptible: bool = Field(
        default=True, description="Running work stops within seconds when it is cancelled."
    )
    queues: bool = Field(
        default=False,
        description="It keeps a queue of its own: what waits there for long needs no lane here.",
    )
    description: str = ""
    measurement_levels: tuple[int, ...] = Field(
        default=(2,), description="2: bits; 1: points in the IQ plane, and averages; 0: raw traces."
    )
    branching: Branching = Field(
        default=Branching.ANY, description="What may depend on measured bits within one shot."
    )
    active_reset: bool = Field(
        default=False, description="It can look at a qubit and turn it back within a shot."
    )
    pace: Pace = Pace()
    compilers: tuple[Compiler, ...] = Field(
        default=(Compiler.QISKIT,),
        description="That a job may choose. A driver adds the vendor's own; what else is "
        "installed where it runs is added by itself.",
    )

    @property
    def target_hash(self) -> str:
        """Changes when, and only when, a transpiled program may no longer fit."""
        gates = [gate.model_dump(mode="json") for gate in self.gates]
        return digest({"num_qubits": self.num_qubits, "gates": gates})
