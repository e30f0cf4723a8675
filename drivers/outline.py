"""What it takes to read a result, without the circuit: kept beside the work at the vendor's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from qpuflow.domain.executable import Executable, Register


class Outline(BaseModel):
    """An `Executable` but for its circuit."""

    model_config = ConfigDict(frozen=True)

    name: str
    registers: list[tuple[str, int]]
    points: list[dict[str, float]]
    memory: bool = False

    @classmethod
    def of(cls, executable: Executable) -> Outline:
        return cls(
            name=executable.name,
            registers=[(register.name, register.size) for register in executable.registers],
            points=list(executable.points),
            memory=executable.memory,
        )

    @property
    def executable(self) -> Executable:
        """It has no circuit; what makes datasets needs none."""
        registers = tuple(Register(name, size) for name, size in self.registers)
        return Executable(self.name, b"", registers, tuple(self.points), memory=self.memory)


class Part(BaseModel):
    """One circuit with its values, where a vendor takes them one by one, as it is handed over.

    `clbits[i]` are the classical bits that the i-th measured bit is the value of.
    """

    model_config = ConfigDict(frozen=True)

    program: Annotated[int, Field(ge=0, description="Index of its outline.")]
    point: Annotated[int, Field(ge=0)]
    source: str
    clbits: list[list[int]]


class Manifest(BaseModel):
    """All of a job: its outlines, and its parts in the order of programs and points."""

    model_config = ConfigDict(frozen=True)

    token: str
    shots: int
    outlines: list[Outline]
    parts: list[Part]
    reservation: str | None = None
    """The vendor's id of the reserved time in which it was handed over."""

    def parts_of(self, program: int) -> Sequence[int]:
        return [index for index, part in enumerate(self.parts) if part.program == program]
