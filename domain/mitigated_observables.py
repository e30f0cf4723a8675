"""Expectation values as they would have been if no bit were misread.

The readout of each bit is undone by itself, and exactly: a bit that was read as m stands in a
product of Zs not for its ±1 but for what the inverse of its confusion makes of that. So each shot
has a value, however many outcomes were never seen, and the mean of all is without bias.

| variable | dims | meaning |
|---|---|---|
| `mitigated_expectation` | point, observable | the value |
| `mitigated_expectation_error` | point, observable | its standard error |
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qpuflow.domain.calibration import Confusion
from qpuflow.domain.mitigation import require_contrast
from qpuflow.domain.observables import Terms, read_bits
from qpuflow.domain.result import counts_of

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

Readouts = Sequence[Confusion | None]
"""Behind each classical bit, from number 0; None where nothing was measured into it."""


@dataclass(slots=True)
class _Sum:
    """What all settings say of one observable at one point."""

    value: float
    variance: float = 0.0
    slopes: defaultdict[tuple[int, int], float] = field(
        default_factory=lambda: defaultdict[tuple[int, int], float](float)
    )
    """Of the value by P(read as 1 | prepared): by qubit and prepared state. Settings share them."""

    def error(self, known: Mapping[int, Confusion]) -> float:
        """Of the shots and, to first order, of the calibration's shots."""
        variance = self.variance
        for (qubit, prepared), slope in self.slopes.items():
            share = known[qubit].matrix[1][prepared]
            variance += slope**2 * share * (1 - share) / max(known[qubit].shots, 1)
        return variance**0.5


def mitigated_expectations(
    terms: Sequence[Mapping[str, Terms]],
    constants: Mapping[str, float],
    datasets: Sequence[xr.Dataset],
    readouts: Sequence[Readouts],
) -> xr.Dataset:
    """The first dataset with the two variables; all four arguments as `MeasurementPlan` has them,
    `terms`, `datasets` and `readouts` by setting.

    `InputError` where a readout tells too little to be undone.
    """
    import numpy as np

    for behind in readouts:
        require_contrast(behind)
    known = {one.qubit: one for behind in readouts for one in behind if one is not None}
    first, names = datasets[0], list(constants)
    values = np.zeros((first.sizes["point"], len(names)))
    errors = np.zeros_like(values)
    for point in range(len(values)):
        for column, name in enumerate(names):
            total = _Sum(constants[name])
            for own, dataset, behind in zip(terms, datasets, readouts, strict=True):
                if own.get(name):
                    _add(total, read_bits(counts_of(dataset, point), own), own[name], behind)
            values[point, column], errors[point, column] = total.value, total.error(known)
    dims = ("point", "observable")
    return first.assign(
        mitigated_expectation=(dims, values), mitigated_expectation_error=(dims, errors)
    )


def _add(total: _Sum, counts: Mapping[str, int], terms: Terms, behind: Readouts) -> None:
    """One setting's part. The leftmost letter is the last classical bit."""
    import numpy as np

    numbers = np.array(list(counts.values()))
    shots = int(numbers.sum())
    shares = numbers / shots
    bits = np.array([[int(bit) for bit in key] for key in counts])
    places = [behind[len(behind) - 1 - place] for place in range(bits.shape[1])]
    worth = np.array([_worth(one) for one in places])
    factors = np.take_along_axis(worth[None].repeat(len(bits), 0), bits[..., None], 2)[..., 0]
    of_shots = np.zeros(len(bits))
    for label, coefficient in terms.items():
        measured = [place for place, letter in enumerate(label) if letter == "Z"]
        product = coefficient * factors[:, measured].prod(axis=1)
        of_shots += product
        for place in measured:
            if (one := places[place]) is not None:
                rest = product / factors[:, place]
                for prepared, slope in enumerate(_slopes(one)):
                    by_bit = (rest * shares) @ slope[bits[:, place]]
                    total.slopes[one.qubit, prepared] += float(by_bit)
    mean = float(of_shots @ shares)
    total.value += mean
    total.variance += max(float(of_shots**2 @ shares) - mean**2, 0.0) / max(shots - 1, 1)


def _worth(readout: Confusion | None) -> NDArray[np.float64]:
    """What a bit that was read as 0 or as 1 stands for in a product; ±1 if it is never misread."""
    import numpy as np

    signs = np.array([1.0, -1.0])
    return signs if readout is None else signs @ np.linalg.inv(np.array(readout.matrix))


def _slopes(readout: Confusion) -> list[NDArray[np.float64]]:
    """Of `_worth` by P(1|0) and by P(1|1)."""
    import numpy as np

    inverse = np.linalg.inv(np.array(readout.matrix))
    changes = [np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, -1.0], [0.0, 1.0]])]
    return [-(_worth(readout) @ change @ inverse) for change in changes]
