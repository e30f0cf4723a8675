"""Quantities with the bounds that the instruments set."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

GRID_NS = 4
"""Sequencers start operations on this grid: an instruction takes at least 4 ns."""


class Value(BaseModel):
    """A part of a file: frozen, and nothing in it that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def on_grid(seconds: float) -> int:
    """In ns, rounded up to the sequencers' grid."""
    return -(-nanoseconds(seconds) // GRID_NS) * GRID_NS


def _whole_nanoseconds(seconds: float) -> float:
    if abs(seconds * 1e9 - round(seconds * 1e9)) > 1e-6:
        raise ValueError(
            f"{seconds * 1e9:g} ns is no whole number of ns, and the converters sample once a ns"
        )
    return seconds


def _not_below_an_instruction(seconds: float) -> float:
    if nanoseconds(seconds) < GRID_NS:
        raise ValueError(
            f"{seconds * 1e9:g} ns is shorter than one instruction of the sequencer ({GRID_NS} ns)"
        )
    return seconds


def _full_scale(amplitude: float) -> float:
    if abs(amplitude) > 1:
        raise ValueError(
            f"an amplitude of {amplitude:g} is beyond the converters' full scale, which is 1; "
            "lower the output attenuation instead"
        )
    return amplitude


Seconds = Annotated[float, Field(ge=0), AfterValidator(_whole_nanoseconds)]
PulseSeconds = Annotated[
    float, AfterValidator(_whole_nanoseconds), AfterValidator(_not_below_an_instruction)
]
Amplitude = Annotated[float, AfterValidator(_full_scale)]
Hertz = Annotated[float, Field(gt=0, le=20e9)]
Degrees = Annotated[float, Field(ge=-360, le=360)]
Probability = Annotated[float, Field(ge=0, le=1)]
