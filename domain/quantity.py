"""What is measured of a qubit; apart from its plans, for whoever only names it."""

from __future__ import annotations

from enum import StrEnum


class Quantity(StrEnum):
    """What a calibration measures of one qubit."""

    READOUT = "readout"
    """Assignment fidelity, 1 - (P(1|0) + P(0|1)) / 2."""
    T1 = "t1"
    """Relaxation time in seconds."""
    T2_ECHO = "t2_echo"
    """Coherence time with one refocusing pulse, in seconds."""
    GATE = "gate"
    """Error of a Clifford gate, by randomized benchmarking of all qubits at once."""

    @property
    def unit(self) -> str:
        return "s" if self in (Quantity.T1, Quantity.T2_ECHO) else ""
