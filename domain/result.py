"""Results: one `xarray.Dataset` per program, and what is derived from it.

| variable | dims | meaning |
|---|---|---|
| `counts` | point, outcome | how often each outcome was seen, int64 |
| `bits` | point, shot, clbit | each shot's bits, uint8, clbit 0 first; only with `memory` |
| `expectation`, `expectation_error` | point, observable | Pauli sums and their standard error |

Coordinates: `point` (index of the parameter set), `outcome` (bit string as Qiskit prints it:
clbit 0 rightmost, registers separated by one space, the last declared leftmost), `observable`
(name), and `parameter_<name>` along `point`. Attributes: `program`, `shots`, `registers`
(JSON list of [name, size] in declaration order), and what the driver and the pipeline add.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qpuflow.domain.errors import InputError
from qpuflow.domain.executable import Executable, Register

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

ONE_SIGMA = 0.682689492137086
"""Confidence of every interval given here: one standard deviation of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Probability:
    """An estimated probability with the limits of its 68 % interval (Jeffreys)."""

    value: float
    low: float
    high: float

    @property
    def error(self) -> float:
        return (self.high - self.low) / 2


def dataset_of(
    executable: Executable,
    shots: int,
    counts: Sequence[Mapping[str, int]],
    bits: NDArray[np.uint8] | None = None,
    **attrs: str | int | float,
) -> xr.Dataset:
    """The dataset of one executable from its counts, one mapping per point.

    `bits` has the shape (point, shot, clbit).
    """
    import numpy as np
    import xarray as xr

    outcomes = sorted({outcome for point in counts for outcome in point})
    column = {outcome: index for index, outcome in enumerate(outcomes)}
    table = np.zeros((len(counts), len(outcomes)), dtype=np.int64)
    for row, point in enumerate(counts):
        for outcome, count in point.items():
            table[row, column[outcome]] = count
    variables: dict[str, Any] = {"counts": (("point", "outcome"), table)}
    if bits is not None:
        variables["bits"] = (("point", "shot", "clbit"), bits)
    coords: dict[str, Any] = {
        "point": np.arange(len(counts)),
        "outcome": np.array(outcomes, dtype=np.str_),
        **_parameter_coords(executable.points),
    }
    own = {
        "program": executable.name,
        "shots": shots,
        "registers": json.dumps([[r.name, r.size] for r in executable.registers]),
    }
    # On its way to the ledger nobody looks anything up in it: an index would take most of the time.
    known = xr.Coordinates(coords, indexes={})
    return xr.Dataset(variables, coords=known, attrs={**own, **attrs})


def _parameter_coords(points: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    names = list(points[0]) if points else []
    return {f"parameter_{name}": ("point", [p[name] for p in points]) for name in names}


def registers_of(dataset: xr.Dataset) -> tuple[Register, ...]:
    return tuple(Register(name, size) for name, size in json.loads(dataset.attrs["registers"]))


def counts_of(dataset: xr.Dataset, point: int = 0) -> dict[str, int]:
    """Outcomes seen at one point, the most frequent first."""
    row = dataset["counts"].values[point]
    outcomes = dataset["outcome"].values
    seen = [(str(outcomes[i]), int(row[i])) for i in row.nonzero()[0]]
    return dict(sorted(seen, key=lambda item: (-item[1], item[0])))


def intervals(counts: NDArray[np.int64], shots: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lower and upper limits of the 68 % Jeffreys interval for each count out of `shots`."""
    import numpy as np
    from scipy import special

    tail = (1 - ONE_SIGMA) / 2
    low = special.betaincinv(counts + 0.5, shots - counts + 0.5, tail)
    high = special.betaincinv(counts + 0.5, shots - counts + 0.5, 1 - tail)
    return np.where(counts == 0, 0.0, low), np.where(counts == shots, 1.0, high)


def with_errors(counts: Mapping[str, int]) -> dict[str, Probability]:
    """Each outcome's probability with its error bar."""
    import numpy as np

    values = np.array(list(counts.values()), dtype=np.int64)
    shots = int(values.sum())
    low, high = intervals(values, shots)
    return {
        outcome: Probability(count / shots, float(low[i]), float(high[i]))
        for i, (outcome, count) in enumerate(counts.items())
    }


def probabilities_of(dataset: xr.Dataset, point: int = 0) -> dict[str, Probability]:
    return with_errors(counts_of(dataset, point))


def marginal(
    counts: Mapping[str, int], registers: Sequence[Register], keep: str | Sequence[int]
) -> dict[str, int]:
    """Counts of one register (by name) or of some clbits (by index, the first one rightmost)."""
    positions = _positions(registers, keep)
    total: Counter[str] = Counter()
    for outcome, count in counts.items():
        bits = outcome.replace(" ", "")[::-1]
        total["".join(bits[position] for position in reversed(positions))] += count
    return dict(total.most_common())


def _positions(registers: Sequence[Register], keep: str | Sequence[int]) -> list[int]:
    size = sum(register.size for register in registers)
    if not isinstance(keep, str):
        if bad := [index for index in keep if not 0 <= index < size]:
            raise InputError(f"There is no clbit {bad[0]}; the program has {size}")
        return list(keep)
    start = 0
    for register in registers:
        if register.name == keep:
            return list(range(start, start + register.size))
        start += register.size
    known = ", ".join(register.name for register in registers)
    raise InputError(f"There is no classical register {keep!r}", remedy=f"It has: {known}.")


def diagonal_expectation(
    counts: Mapping[str, int], terms: Mapping[str, float]
) -> tuple[float, float]:
    """A sum of I/Z strings over the clbits and its standard error, from counts."""
    import numpy as np

    shots = sum(counts.values())
    ones = _ones([outcome.replace(" ", "") for outcome in counts], "1")
    parities = (ones @ _ones(list(terms), "Z").T) % 2
    values = (1 - 2 * parities) @ np.array(list(terms.values()))
    weights = np.array(list(counts.values())) / shots
    mean = float(weights @ values)
    variance = float(weights @ (values - mean) ** 2)
    return mean, (variance / max(shots - 1, 1)) ** 0.5


def _ones(rows: Sequence[str], letter: str) -> NDArray[np.int64]:
    """A matrix with a 1 wherever a row has the letter."""
    import numpy as np

    return np.array([[character == letter for character in row] for row in rows], dtype=np.int64)
