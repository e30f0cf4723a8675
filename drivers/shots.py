"""Datasets from each shot's bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qpuflow.domain.executable import Executable, Register

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray


def dataset_of_bits(
    executable: Executable, bits: Sequence[NDArray[np.uint8]], **attrs: str | int | float
) -> xr.Dataset:
    """`bits` has for each point an array of the shape (shot, clbit), clbit 0 first."""
    import numpy as np

    from qpuflow.domain.result import dataset_of

    counts = [counts_of_bits(one, executable.registers) for one in bits]
    kept = np.stack(bits) if executable.memory else None
    return dataset_of(executable, len(bits[0]), counts, kept, **attrs)


def counts_of_bits(bits: NDArray[np.uint8], registers: Sequence[Register]) -> dict[str, int]:
    """Counts by Qiskit's bit strings."""
    import numpy as np

    if bits.shape[1] == 0:
        return {"": len(bits)}
    rows, counts = np.unique(bits, axis=0, return_counts=True)
    return {outcome(row, registers): int(n) for row, n in zip(rows, counts, strict=True)}


def outcome(row: NDArray[np.uint8], registers: Sequence[Register]) -> str:
    text, parts = "".join(map(str, row)), list[str]()
    for register in registers:
        parts.append(text[: register.size][::-1])
        text = text[register.size :]
    return " ".join(reversed(parts))
