"""The device file: qubits, couplings, and how they are driven and read now."""

from __future__ import annotations

import re
from datetime import datetime

from pydantic import AwareDatetime, Field, ValidatorFunctionWrapHandler, field_validator

from qpuflow.drivers.qblox.config.values import (
    Amplitude,
    Degrees,
    Hertz,
    Probability,
    PulseSeconds,
    Seconds,
    Value,
    nanoseconds,
)

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9]*\Z")
ACQUISITION_SPACING_NS = 300
"""The least time between two acquisitions of one sequencer."""


class Frequencies(Value):
    f01_hz: Hertz
    readout_hz: Hertz
    f12_hz: Hertz | None = None


class Drive(Value):
    """A DRAG pulse, cut off at four sigma; smaller angles than a half turn are scaled down.

    `motzoi` is the derivative's part in units of sigma, as in quantify-scheduler.
    """

    amplitude_180: Amplitude
    duration_seconds: PulseSeconds = 20e-9
    motzoi: float = Field(default=0.0, ge=-1, le=1)
    error: Probability = 0.0


class Readout(Value):
    """A square pulse, and the integration window that begins `delay_seconds` after it.

    A shot is a 1 where the integrated point, turned by `rotation_degrees` about the origin,
    has a real part of at least `threshold`. Points and threshold are in full scales of the input.
    """

    amplitude: Amplitude
    pulse_seconds: PulseSeconds
    integration_seconds: PulseSeconds
    delay_seconds: Seconds = 0.0
    rotation_degrees: Degrees
    threshold: float = Field(ge=-1, le=1)
    error: Probability = Field(default=0.0, description="That a bit is reported flipped.")

    @field_validator("integration_seconds")
    @classmethod
    def _apart(cls, seconds: float) -> float:
        if nanoseconds(seconds) < ACQUISITION_SPACING_NS:
            raise ValueError(
                f"{seconds * 1e9:g} ns: a sequencer acquires at most once in "
                f"{ACQUISITION_SPACING_NS} ns"
            )
        return seconds

    @property
    def duration_seconds(self) -> float:
        return max(self.pulse_seconds, self.delay_seconds + self.integration_seconds)


class Qubit(Value):
    frequencies: Frequencies
    drive: Drive
    readout: Readout
    reset_seconds: PulseSeconds = Field(default=200e-6, description="Waiting for it to relax.")
    t1_seconds: float | None = Field(default=None, gt=0)
    t2_seconds: float | None = Field(default=None, gt=0)


class ControlledZ(Value):
    """A square flux pulse on the first qubit; both drives' phases are shifted to make up for it."""

    amplitude: Amplitude
    duration_seconds: PulseSeconds
    phases_degrees: tuple[Degrees, Degrees] = (0.0, 0.0)
    error: Probability = 0.0


class Coupling(Value):
    """Between two qubits; the first one is moved by its flux line."""

    qubits: tuple[str, str]
    cz: ControlledZ


class DeviceFile(Value):
    """A chip. Qubit 0 of a program's layout is the first one of `qubits`, and so on."""

    description: str = ""
    calibrated: AwareDatetime | None = Field(
        default=None, description="When what stands here was measured, with its time zone."
    )
    qubits: dict[str, Qubit] = Field(min_length=1)
    couplings: tuple[Coupling, ...] = ()

    @field_validator("calibrated", mode="wrap")
    @classmethod
    def _at_a_time(cls, given: object, parse: ValidatorFunctionWrapHandler) -> datetime | None:
        if given == "":  # as `qpuflow rack import` wrote it when this was text
            return None
        try:
            return parse(given)
        except ValueError as error:
            raise ValueError(
                f"{given} is no time with its zone, as 2026-11-20T12:00:00Z is; "
                "leave it out where it is not known"
            ) from error

    @field_validator("qubits")
    @classmethod
    def _named(cls, qubits: dict[str, Qubit]) -> dict[str, Qubit]:
        for name in qubits:
            if not _NAME.match(name):
                raise ValueError(f"{name!r} is no name of a qubit: letters and digits only")
        return qubits

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.qubits)
