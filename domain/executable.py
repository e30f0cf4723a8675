"""A program ready for one QPU: what the transpile step makes and the dispatch step hands over."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Register:
    """A classical register, or a loose classical bit (size 1)."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Executable:
    """One circuit in the QPU's native gates.

    `qpy` holds the circuit with its parameters unbound; `points` has one mapping of values per
    run of it, and a single empty mapping for a circuit without parameters. `registers` are in
    the order of declaration: the last one stands leftmost in a count's key.
    """

    name: str
    qpy: bytes = field(repr=False)
    registers: tuple[Register, ...]
    points: tuple[dict[str, float], ...] = ({},)
    seed: int | None = None
    method: str = "automatic"
    memory: bool = False
    measurement_level: int = 2
    average: bool = False
    active_reset: bool = False
    vendor_level: int | None = None
    """0 to 3: how hard the vendor's own compiler works, which comes after. None: as it is set."""
    max_cost: str | None = None
    """The most that the whole job may cost, as its user gave it."""

    @property
    def num_clbits(self) -> int:
        return sum(register.size for register in self.registers)
