"""What was read into each classical bit besides outcomes: averages, points, traces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from qpuflow.domain.result import intervals, registers_of

if TYPE_CHECKING:
    import xarray as xr


class BitReading(BaseModel):
    """Of one classical bit at one point; a level that was not asked for is None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bit: str = Field(description="As in the program: c[0].")
    ones: float | None = Field(default=None, description="Share of averaged shots that were 1.")
    ones_error: float | None = Field(default=None, description="Half of the 68 % interval.")
    iq: tuple[float, float] | None = Field(default=None, description="The mean of all shots.")
    samples: int | None = Field(default=None, description="Of its raw trace.")

    @property
    def label(self) -> str:
        if self.ones is not None:
            return f"{self.bit} = 1"
        return f"{self.bit} trace" if self.iq is None else f"{self.bit} mean I, Q"

    @property
    def text(self) -> str:
        if self.ones is not None:
            return f"{self.ones:.4f} ± {self.ones_error:.4f}"
        if self.iq is not None:
            return f"{self.iq[0]:+.4f}, {self.iq[1]:+.4f}"
        return f"{self.samples:,} samples"


def readings_of(dataset: xr.Dataset, point: int) -> list[BitReading]:
    """Of the bits that something was measured into; empty where a result has outcomes only."""
    return [reading for reading in _all(dataset, point) if reading is not None]


def _all(dataset: xr.Dataset, point: int) -> Iterator[BitReading | None]:
    import numpy as np

    if not {"ones", "iq", "trace"} & set(dataset.data_vars):
        return
    for clbit, name in enumerate(_names(dataset)):
        here = dataset.isel(point=point, clbit=clbit)
        if "ones" in here:
            share, shots = float(here["ones"]), int(dataset.attrs["shots"])
            low, high = intervals(np.array([round(share * shots)]), shots)
            error = float(high[0] - low[0]) / 2
            yield BitReading(bit=name, ones=share, ones_error=error)
            continue
        found = here["trace" if "trace" in here else "iq"]
        if bool(found.isnull().all()):
            yield None
        elif "trace" in here:
            lasting = found.isel(quadrature=0, shot=0, missing_dims="ignore")
            yield BitReading(bit=name, samples=int(lasting.notnull().sum()))
        else:
            i, q = found.mean([dim for dim in found.dims if dim != "quadrature"]).values
            yield BitReading(bit=name, iq=(float(i), float(q)))


def _names(dataset: xr.Dataset) -> list[str]:
    return [f"{one.name}[{i}]" for one in registers_of(dataset) for i in range(one.size)]
