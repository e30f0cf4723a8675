"""From acquired bins to what a user asked for: bits and counts, or points in the IQ plane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from qpuflow.domain.executable import Executable, Register
from qpuflow.drivers.qblox.programs import NativeProgram, Upload

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    from qpuflow.drivers.qblox.config.chip import Readout


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


def iq_of(
    program: NativeProgram, acquired: Mapping[int, Acquired], shots: int
) -> NDArray[np.float32]:
    """I and Q with the shape (shot, clbit, 2), in full scales; NaN where nothing was measured."""
    import numpy as np

    iq = np.full((shots, len(program.bits), 2), np.nan, dtype=np.float32)
    for clbit, source in enumerate(program.bits):
        if source is not None:
            points = acquired[source.qubit].points[:, source.index]
            iq[:, clbit, 0], iq[:, clbit, 1] = points.real, points.imag
    return iq


def ones_of(program: NativeProgram, acquired: Mapping[int, Acquired]) -> NDArray[np.float64]:
    """Of averaged shots: in which share of them each classical bit was 1, shape (clbit,)."""
    import numpy as np

    ones = np.zeros(len(program.bits))
    for clbit, source in enumerate(program.bits):
        if source is not None:
            ones[clbit] = acquired[source.qubit].ones[0, source.index]
    return ones


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


@dataclass(frozen=True, slots=True)
class Measured:
    """What became of one point of an executable: `bits` of each shot, or `ones` of their mean.

    `iq` has the shape (shot, clbit, 2), with one shot where they were averaged.
    """

    bits: NDArray[np.uint8] | None
    ones: NDArray[np.float64]
    iq: NDArray[np.float32]

    @classmethod
    def of(cls, upload: Upload, program: NativeProgram, acquired: Mapping[int, Acquired]) -> Self:
        shots = 1 if upload.averaged else upload.repetitions
        bits = None if upload.averaged else bits_of(program, acquired, shots)
        return cls(bits, ones_of(program, acquired), iq_of(program, acquired, shots))


def dataset_of_points(
    executable: Executable,
    shots: int,
    points: Sequence[Sequence[Measured]],
    classifier: Sequence[Readout | None],
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """`points` has what each run gave of each point; `classifier` each clbit's readout.

    Averaged shots have no counts: the table of counts is empty.
    """
    import numpy as np

    from qpuflow.domain.result import dataset_of

    levels = {
        "measurement_level": executable.measurement_level,
        "average": int(executable.average),
        "reset": "active" if executable.active_reset else "passive",
    }
    if executable.average:
        dataset = dataset_of(executable, shots, [{} for _ in points], None, **attrs, **levels)
        if executable.measurement_level == 2:
            ones = np.stack([runs[0].ones for runs in points])
            return dataset.assign(ones=(("point", "clbit"), ones))
        return _with_iq(dataset, np.stack([runs[0].iq[0] for runs in points]), classifier)
    bits = [np.concatenate([run.bits for run in runs if run.bits is not None]) for runs in points]
    counts = [counts_of_bits(one, executable.registers) for one in bits]
    memory = np.stack(bits) if executable.memory else None
    dataset = dataset_of(executable, shots, counts, memory, **attrs, **levels)
    if executable.measurement_level == 2:
        return dataset
    iq = np.stack([np.concatenate([run.iq for run in runs]) for runs in points])
    return _with_iq(dataset, iq, classifier)


def _with_iq(
    dataset: xr.Dataset, iq: NDArray[np.float32], classifier: Sequence[Readout | None]
) -> xr.Dataset:
    """With the line that classifies: what a shot's point, turned, is a 1 from on."""
    import numpy as np

    shot = ("shot",) if iq.ndim == 4 else ()
    dims = ("point", *shot, "clbit", "quadrature")
    turns = [np.nan if one is None else one.rotation_degrees for one in classifier]
    thresholds = [np.nan if one is None else one.threshold for one in classifier]
    return dataset.assign(iq=(dims, iq, {"units": "full scale of the input"})).assign_coords(
        quadrature=["I", "Q"],
        rotation_degrees=("clbit", turns, {"units": "degree"}),
        threshold=("clbit", thresholds, {"units": "full scale of the input"}),
    )
