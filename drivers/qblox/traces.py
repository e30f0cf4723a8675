"""Measurement level 0: what an input saw while a qubit was read, as a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qpuflow.domain.executable import Executable
from qpuflow.drivers.qblox.programs import NativeProgram

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

Traces = Mapping[int, "NDArray[np.complex128]"]
"""By qubit, in full scales; shape (sample,), one a ns."""


@dataclass(frozen=True, slots=True)
class Window:
    """When a qubit's trace begins, counted from its readout pulse, and its tone's frequency."""

    begin_ns: int
    intermediate_hz: float


def dataset_of_traces(
    executable: Executable,
    shots: int,
    program: NativeProgram,
    points: Sequence[Sequence[Traces]],
    windows: Mapping[int, Window],
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """`points` has what each run gave of each point: one, averaged, or one for each shot.

    Traces have no counts: the table of counts is empty.
    """
    import numpy as np

    from qpuflow.domain.result import dataset_of

    sources = [source and source.qubit for source in program.bits]
    seen = np.stack([np.stack([_by_clbit(run, sources) for run in runs]) for runs in points])
    seen = seen[:, 0] if executable.average else seen
    dims = ("point", *(() if executable.average else ("shot",)), "clbit", "time", "quadrature")
    own = {"measurement_level": 0, "average": int(executable.average)}
    at = [None if qubit is None else windows[qubit] for qubit in sources]
    begins = [np.nan if one is None else one.begin_ns for one in at]
    tones = [np.nan if one is None else one.intermediate_hz for one in at]
    dataset = dataset_of(executable, shots, [{} for _ in points], None, **attrs, **own)
    return dataset.assign(trace=(dims, seen, {"units": "full scale of the input"})).assign_coords(
        quadrature=["I", "Q"],
        time=("time", np.arange(seen.shape[-2]), {"units": "ns"}),
        window_begin=("clbit", begins, {"units": "ns"}),
        intermediate_frequency=("clbit", tones, {"units": "Hz"}),
    )


def _by_clbit(traces: Traces, sources: Sequence[int | None]) -> NDArray[np.float32]:
    """Shape (clbit, sample, 2); NaN where nothing was measured, and behind the shorter ones."""
    import numpy as np

    samples = max(map(len, traces.values()), default=0)
    seen = np.full((len(sources), samples, 2), np.nan, dtype=np.float32)
    for clbit, qubit in enumerate(sources):
        if qubit is not None:
            trace = traces[qubit]
            seen[clbit, : len(trace), 0], seen[clbit, : len(trace), 1] = trace.real, trace.imag
    return seen
