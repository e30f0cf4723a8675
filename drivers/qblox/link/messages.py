"""Requests to a rack and its answers, as JSON.

JSON, not msgpack: a request is a few kB, what is large in it is binary either way, and an operator
can read what went over the wire. Every message carries the version of this module; a peer of
another version is told so, by name, and nothing is guessed.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from qpuflow.domain.device import Device
from qpuflow.domain.executable import Executable, Register
from qpuflow.drivers.base import RemoteState

VERSION = 4


class Message(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64"
    )


class Circuit(Message):
    """An `Executable`."""

    name: str
    qpy: bytes
    registers: tuple[tuple[str, int], ...]
    points: tuple[dict[str, float], ...]
    seed: int | None
    memory: bool
    measurement_level: int
    average: bool
    active_reset: bool = False

    @classmethod
    def of(cls, executable: Executable) -> Circuit:
        return cls(
            name=executable.name,
            qpy=executable.qpy,
            registers=tuple((one.name, one.size) for one in executable.registers),
            points=executable.points,
            seed=executable.seed,
            memory=executable.memory,
            measurement_level=executable.measurement_level,
            average=executable.average,
            active_reset=executable.active_reset,
        )

    def executable(self) -> Executable:
        registers = tuple(Register(name, size) for name, size in self.registers)
        return Executable(
            self.name,
            self.qpy,
            registers,
            self.points,
            seed=self.seed,
            memory=self.memory,
            measurement_level=self.measurement_level,
            average=self.average,
            active_reset=self.active_reset,
        )


class Describe(Message):
    kind: Literal["describe"] = "describe"


class Execute(Message):
    """`fencing_token` is the lease's: a rack obeys no lower one than it has seen.

    `reopen`: who sends this was told that the rack does not know the token, and has not sent it
    since. Without it a token that was asked for in vain is refused, so that a request that was
    late on the wire cannot follow the answer that it never came.
    """

    kind: Literal["execute"] = "execute"
    token: str
    fencing_token: int
    shots: int
    circuits: tuple[Circuit, ...]
    reopen: bool = False


class Status(Message):
    """`known`: answer when the state is another, or after `wait_seconds`.

    `close`: a token that is unknown now is not accepted later.
    """

    kind: Literal["status"] = "status"
    token: str
    known: RemoteState | None = None
    wait_seconds: float = Field(default=0.0, ge=0, le=10)
    close: bool = False


class Fetch(Message):
    kind: Literal["fetch"] = "fetch"
    token: str


class Confirm(Message):
    """The ledger has what became of these. The answer tells of which it should have heard.

    `after`: the answer begins behind that number, which an earlier one gave as `more_after`.
    """

    kind: Literal["confirm"] = "confirm"
    tokens: tuple[str, ...] = ()
    after: int = 0


class Cancel(Message):
    kind: Literal["cancel"] = "cancel"
    token: str


class Health(Message):
    kind: Literal["health"] = "health"


class Telemetry(Message):
    kind: Literal["telemetry"] = "telemetry"


class Reload(Message):
    """Read the device file again, for the next job. `who` has changed it."""

    kind: Literal["reload"] = "reload"
    who: str


Request = Annotated[
    Describe | Execute | Status | Fetch | Confirm | Cancel | Health | Telemetry | Reload,
    Field(discriminator="kind"),
]


class Envelope(Message):
    """`version` first: a body of another version is never parsed."""

    version: int = VERSION
    body: Request


class AnyVersion(BaseModel):
    """What can be read of an envelope before it is known to be ours."""

    version: int


class Described(Message):
    kind: Literal["described"] = "described"
    device: Device
    chip: dict[str, object]
    """The device file."""


class State(Message):
    """Of one job. No state: the rack knows of no such token."""

    kind: Literal["state"] = "state"
    ticket: str | None = None
    state: RemoteState | None = None
    message: str = ""


class Results(Message):
    kind: Literal["results"] = "results"
    datasets: tuple[bytes, ...]
    seconds: float


class Kept(Message):
    """Jobs that ended a while ago, and whose results nobody has confirmed: a page of them."""

    kind: Literal["kept"] = "kept"
    tokens: tuple[str, ...]
    more_after: int | None = None


class Report(Message):
    """Health or telemetry, by name."""

    kind: Literal["report"] = "report"
    values: dict[str, float | str | None]


class Failure(Message):
    """One of `qpuflow.domain.errors`, by its class's name."""

    kind: Literal["failure"] = "failure"
    error: str
    what: str
    where: str | None = None
    remedy: str | None = None


Reply = Annotated[
    Described | State | Results | Kept | Report | Failure, Field(discriminator="kind")
]
replies: TypeAdapter[Reply] = TypeAdapter(Reply)
