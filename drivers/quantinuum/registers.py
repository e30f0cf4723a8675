"""Classical registers as Quantinuum takes them, and bits from what it says of each shot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qpuflow.domain.errors import Unavailable
from qpuflow.domain.executable import Register

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WIDTH = 32
"""Of a register that every machine takes."""


@dataclass(frozen=True, slots=True)
class Piece:
    name: str
    size: int


def pieces_of(registers: Sequence[Register]) -> list[Piece]:
    """Names must be identifiers there and may be anything here; wide registers are cut."""
    return [piece for index, one in enumerate(registers) for piece in _pieces(index, one.size)]


def _pieces(index: int, size: int) -> Iterator[Piece]:
    if size <= WIDTH:
        yield Piece(f"r{index}", size)
        return
    for number, start in enumerate(range(0, size, WIDTH)):
        yield Piece(f"r{index}_{number}", min(WIDTH, size - start))


def bits_of(
    registers: Sequence[Register], shots: int, results: Mapping[str, Any]
) -> NDArray[np.uint8]:
    """Shape (shot, clbit), clbit 0 first. Raises `Unavailable` where something is missing."""
    import numpy as np

    pieces = pieces_of(registers)
    if not pieces:
        return np.zeros((shots, 0), dtype=np.uint8)
    return np.concatenate([_bits(piece, shots, results) for piece in pieces], axis=1)


def _bits(piece: Piece, shots: int, results: Mapping[str, Any]) -> NDArray[np.uint8]:
    import numpy as np

    told: Sequence[str] = results.get(piece.name, ())
    if len(told) != shots or any(len(shot) != piece.size for shot in told):
        raise Unavailable(f"Register {piece.name} has not {shots} times {piece.size} bits")
    rows = np.frombuffer("".join(told).encode(), dtype=np.uint8).reshape(shots, piece.size)
    return (rows[:, ::-1] - ord("0")).astype(np.uint8)
