"""Readout mitigation: how often each outcome would have been seen if no bit were misread.

By M3 (``mthree``): the confusion of the bits is undone among the outcomes that were seen, so that
many bits cost no more than few. It gives quasi-probabilities, of which small ones may be negative.

| variable | dims | meaning |
|---|---|---|
| `mitigated`, `mitigated_error` | point, outcome | quasi-probability and its standard error |
| `confusion` | clbit, measured, prepared | what was undone; NaN where nothing was measured |

Coordinates along `clbit`: `confusion_shots` (of each state), `confusion_measured_at` (UTC).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qpuflow.domain.calibration import Confusion
from qpuflow.domain.errors import InputError, OperatorNeeded
from qpuflow.domain.result import counts_of

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

MOST_EXACT = 1_000
"""Outcomes up to which errors are propagated outcome by outcome; beyond, all get M3's bound."""
LEAST_CONTRAST = 0.1
"""P(1|1) - P(1|0) below which a readout says too little to be undone."""


def measured_into(circuit: QuantumCircuit) -> list[int | None]:
    """Of each classical bit the qubit that was read last into it, None where none was.

    `InputError` where a branch decides whether a bit is measured.
    """
    qubits: list[int | None] = [None] * circuit.num_clbits
    for instruction in circuit.data:
        if instruction.operation.name == "measure":
            clbit = circuit.find_bit(instruction.clbits[0]).index
            qubits[clbit] = circuit.find_bit(instruction.qubits[0]).index
        elif _measures(instruction.operation):
            raise InputError(
                "A measurement inside of a branch or loop cannot be mitigated",
                remedy="Leave mitigation off, or measure outside.",
            )
    return qubits


def _measures(operation: Any) -> bool:
    blocks: Sequence[QuantumCircuit] = getattr(operation, "blocks", ())
    return any(
        inner.operation.name == "measure" or _measures(inner.operation)
        for block in blocks
        for inner in block.data
    )


def mitigated(dataset: xr.Dataset, readouts: Sequence[Confusion | None]) -> xr.Dataset:
    """`readouts[i]` is that behind classical bit i, None where nothing was measured into it.

    `InputError` where a readout tells too little, `OperatorNeeded` without the library.
    """
    import numpy as np

    require_contrast(readouts)
    outcomes = [str(outcome) for outcome in dataset["outcome"].values]
    column = {outcome: index for index, outcome in enumerate(outcomes)}
    values = np.zeros((dataset.sizes["point"], len(outcomes)))
    errors = np.zeros_like(values)
    for point in range(len(values)):
        counts = counts_of(dataset, point)
        places = [column[outcome] for outcome in counts]
        values[point, places], errors[point, places] = _undone(counts, readouts)
    matrices = [np.full((2, 2), np.nan) if one is None else one.matrix for one in readouts]
    return dataset.assign(
        mitigated=(("point", "outcome"), values),
        mitigated_error=(("point", "outcome"), errors),
        confusion=(("clbit", "measured", "prepared"), np.array(matrices).reshape(-1, 2, 2)),
    ).assign_coords(
        confusion_shots=("clbit", [0 if one is None else one.shots for one in readouts]),
        confusion_measured_at=(
            "clbit",
            np.array([one.measured_at.isoformat() if one else "" for one in readouts], np.str_),
        ),
    )


def require_contrast(readouts: Sequence[Confusion | None]) -> None:
    """`InputError` where a readout tells too little to be undone."""
    for one in readouts:
        if one is not None and (contrast := one.matrix[1][1] - one.matrix[1][0]) < LEAST_CONTRAST:
            raise InputError(
                f"The readout of qubit {one.qubit} cannot be undone: it tells 1 from 0 in "
                f"{contrast:.0%} of shots",
                remedy="Calibrate it.",
            )


def _undone(
    counts: Mapping[str, int], readouts: Sequence[Confusion | None]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Quasi-probabilities and standard errors in the order of the counts."""
    import numpy as np

    shots = sum(counts.values())
    kept = [clbit for clbit, one in enumerate(readouts) if one is not None]
    bits = [outcome.replace(" ", "")[::-1] for outcome in counts]
    keys = ["".join(row[clbit] for clbit in reversed(kept)) for row in bits]
    if not kept:
        return np.array(list(counts.values())) / shots, np.zeros(len(keys))
    known = [one for one in readouts if one is not None]
    solver, qubits = _solver(known), list(range(len(kept)))
    seen = dict(zip(keys, counts.values(), strict=True))
    quasi = solver.apply_correction(seen, qubits, return_mitigation_overhead=True)
    values = np.array([float(quasi[key]) for key in keys])
    if len(keys) > MOST_EXACT:
        return values, np.full(len(keys), float(quasi.stddev()))
    matrix, order = solver.reduced_cal_matrix(seen, qubits)
    rank = {key: index for index, key in enumerate(order)}
    places = [rank[key] for key in keys]
    confusion = np.asarray(matrix)[np.ix_(places, places)]
    inverse = np.linalg.inv(confusion).astype(np.float64)
    variance = _of_shots(inverse, np.array(list(counts.values())) / shots, shots)
    return values, np.sqrt(variance + _of_calibration(values, keys, known))


def _solver(readouts: Sequence[Confusion]) -> Any:
    import numpy as np

    try:
        from mthree import M3Mitigation
    except ModuleNotFoundError as error:
        raise OperatorNeeded(
            "mthree is not installed", remedy="Run pip install 'qpuflow[mitigation]'."
        ) from error
    solver = M3Mitigation()
    solver.cals_from_matrices([np.array(one.matrix) for one in readouts])
    return solver


def _of_shots(
    inverse: NDArray[np.float64], shares: NDArray[np.float64], shots: int
) -> NDArray[np.float64]:
    """Variance of what the inverse makes of a multinomial sample."""
    return (inverse**2 @ shares - (inverse @ shares) ** 2) / max(shots - 1, 1)


def _of_calibration(
    values: NDArray[np.float64], keys: Sequence[str], readouts: Sequence[Confusion]
) -> NDArray[np.float64]:
    """Variance because a calibration has shots of its own: to first order in its two errors.

    A change of one bit's matrix by dA changes the values by -(A⁻¹ dA) on that bit.
    """
    import numpy as np

    rank = {key: index for index, key in enumerate(keys)}
    variance = np.zeros(len(keys))
    for clbit, readout in enumerate(readouts):
        place = len(keys[0]) - 1 - clbit
        bits = np.array([int(key[place]) for key in keys])
        flipped = [rank.get(f"{k[:place]}{1 - int(k[place])}{k[place + 1 :]}", -1) for k in keys]
        partner = np.where(np.array(flipped) < 0, 0.0, values[flipped])
        inverse = np.linalg.inv(np.array(readout.matrix))
        for prepared in (0, 1):
            share = readout.matrix[1][prepared]
            change = np.zeros((2, 2))
            change[:, prepared] = -1, 1
            effect = inverse @ change
            moved = effect[bits, bits] * values + effect[bits, 1 - bits] * partner
            variance += moved**2 * share * (1 - share) / max(readout.shots, 1)
    return variance
