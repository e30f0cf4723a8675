"""Aer's noise model for the settings."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from qpuflow.drivers.aer.devices import ONE_QUBIT, TWO_QUBIT
from qpuflow.drivers.aer.settings import AerSettings

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel

# A change of frame on the heavy-hex chip, a gate like any other where all are native.
_FRAME = frozenset({"rz"})


@cache
def noise_model(settings: AerSettings) -> NoiseModel | None:
    """None for a perfect QPU. Errors are Pauli channels, so Clifford programs stay Clifford."""
    from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

    noise = settings.noise
    if noise is None:
        return None
    exact = _FRAME if settings.layout == "heavy-hex-127" else frozenset[str]()
    model = NoiseModel()
    if noise.one_qubit:
        names = [name for name in ONE_QUBIT if name not in exact]
        model.add_all_qubit_quantum_error(depolarizing_error(noise.one_qubit, 1), names)
    if noise.two_qubit:
        model.add_all_qubit_quantum_error(depolarizing_error(noise.two_qubit, 2), list(TWO_QUBIT))
    if noise.readout:
        flip = noise.readout
        model.add_all_qubit_readout_error(ReadoutError([[1 - flip, flip], [flip, 1 - flip]]))
    return model
