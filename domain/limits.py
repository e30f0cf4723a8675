"""What a device's limits refuse, before anything is prepared or handed over."""

from __future__ import annotations

from qpuflow.domain.device import Device
from qpuflow.domain.errors import InputError


def check_limits(device: Device, *, programs: int, shots: int, qubits: int = 0) -> None:
    """`qubits` is the largest number in one program as its user wrote it, where it is known."""
    limits = device.limits
    if shots < 1:
        raise InputError(f"{shots} shots cannot be run", remedy="Ask for at least one.")
    _check(device.name, "shots", shots, limits.max_shots, "Split the job")
    _check(device.name, "programs in one job", programs, limits.max_programs, "Split the job")
    _check(device.name, "qubits", qubits, limits.max_qubits, "Choose a larger QPU")


def _check(qpu: str, what: str, asked: int, most: int, remedy: str) -> None:
    if asked > most:
        raise InputError(f"{asked:,} {what}, and {qpu} takes at most {most:,}", remedy=f"{remedy}.")
