"""A rack as qpuflow's compiler and scheduler see it."""

from __future__ import annotations

from collections.abc import Iterator

from qpuflow.domain.branches import Branching
from qpuflow.domain.device import Device, Gate, GateSite, Limits
from qpuflow.drivers.qblox.config import DeviceFile
from qpuflow.drivers.qblox.config.values import on_grid

TURNS = ("rx", "ry", "sx", "x", "y")
"""One DRAG pulse each. rz is none: it turns the frame of the pulses that follow."""
MAX_PROGRAMS = 500
_LEAST_ERROR = 1e-6
"""Of a pulse: it is never as good as a change of frame, which the compiler is to know."""


def device_of(name: str, chip: DeviceFile, *, max_shots: int, simulated: bool) -> Device:
    """Gates are where the chip has them, and last as long as the schedules make them last."""
    return Device(
        name=name,
        num_qubits=len(chip.qubits),
        gates=tuple(_gates(chip)),
        limits=Limits(max_qubits=len(chip.qubits), max_shots=max_shots, max_programs=MAX_PROGRAMS),
        outside_effects=True,
        simulator=simulated,
        description=chip.description,
        measurement_levels=(0, 1, 2),
        branching=Branching.ONE_BIT,
        active_reset=True,
    )


def _gates(chip: DeviceFile) -> Iterator[Gate]:
    index = {name: position for position, name in enumerate(chip.qubits)}
    qubits = list(enumerate(chip.qubits.values()))
    for turn in TURNS:
        yield Gate(
            name=turn,
            sites=tuple(
                _site((i,), q.drive.duration_seconds, max(q.drive.error, _LEAST_ERROR))
                for i, q in qubits
            ),
        )
    yield Gate(name="rz", sites=tuple(_site((i,), 0.0, 0.0) for i, _ in qubits))
    yield Gate(
        name="cz",
        sites=tuple(
            _site(pair, coupling.cz.duration_seconds, coupling.cz.error)
            for coupling in chip.couplings
            for first, second in [[index[name] for name in coupling.qubits]]
            for pair in ((first, second), (second, first))
        ),
    )
    yield Gate(
        name="measure",
        sites=tuple(_site((i,), q.readout.duration_seconds, q.readout.error) for i, q in qubits),
    )
    yield Gate(name="reset", sites=tuple(_site((i,), q.reset_seconds, 0.0) for i, q in qubits))
    yield Gate(name="if_else")
    yield Gate(name="delay", sites=tuple(GateSite(qubits=(i,)) for i, _ in qubits))


def _site(qubits: tuple[int, ...], seconds: float, error: float) -> GateSite:
    return GateSite(qubits=qubits, duration_seconds=on_grid(seconds) * 1e-9, error=error)
