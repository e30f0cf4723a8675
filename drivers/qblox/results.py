"""From acquired bins to what a user asked for: bits and counts, or points in the IQ plane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qpuflow.domain.executable import Executable, Register
from qpuflow.drivers.qblox.programs import NativeProgram, Upload

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Acquired:
    """One qubit's acquisitions of a run, both with the shape (shot, acquisition).

    `points` are in full scales of the input; `ones` is how often the sequencer saw a 1 (0 or 1,
    or a fraction of averaged shots).
    """

    points: NDArray[np.complex128]
    ones: NDArray[np.float64]


def by_program(upload: Upload, acquired: Mapping[int, Acquired]) -> list[dict[int, Acquired]]:
    """What an upload acquired, taken apart into its programs."""
    taken: Counter[int] = Counter()
    parts: list[dict[int, Acquired]] = []
    for program in upload.programs:
        part: dict[int, Acquired] = {}
        for qubit, count in program.acquisitions_of.items():
            here = slice(taken[qubit], taken[qubit] + count)
            whole = acquired[qubit]
            part[qubit] = Acquired(whole.points[:, here], whole.ones[:, here])
            taken[qubit] += count
        parts.append(part)
    return parts


def bits_of(
    program: NativeProgram, acquired: Mapping[int, Acquired], shots: int
) -> NDArray[np.uint8]:
    """Classical bits with the shape (shot, clbit); what nothing wrote is 0."""
    import numpy as np

    bits = np.zeros((shots, len(program.bits)), dtype=np.uint8)
    for clbit, source in enumerate(program.bits):
        if source is not None:
            bits[:, clbit] = acquired[source.qubit].ones[:, source.index] >= 0.5
    return bits


def counts_of_bits(bits: NDArray[np.uint8], registers: Sequence[Register]) -> dict[str, int]:
    """Qiskit's keys: clbit 0 rightmost, the last register leftmost."""
    import numpy as np

    if bits.shape[1] == 0:
        return {"": len(bits)}
    rows, counts = np.unique(np.packbits(bits, axis=1), axis=0, return_counts=True)
    width = bits.shape[1]
    return {
        _key(np.unpackbits(row, count=width), registers): int(count)
        for row, count in zip(rows, counts, strict=True)
    }


def _key(row: NDArray[np.uint8], registers: Sequence[Register]) -> str:
    text = "".join(map(str, row))
    parts: list[str] = []
    for register in registers:
        parts.append(text[: register.size][::-1])
        text = text[register.size :]
    return " ".join(reversed(parts))


def counts_dataset(
    executable: Executable,
    shots: int,
    points: Sequence[NDArray[np.uint8]],
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Level 2. `points` has each point's bits."""
    import numpy as np

    from qpuflow.domain.result import dataset_of

    counts = [counts_of_bits(bits, executable.registers) for bits in points]
    memory = np.stack(points) if executable.memory else None
    return dataset_of(executable, shots, counts, memory, **attrs)
