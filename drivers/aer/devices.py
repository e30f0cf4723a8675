"""The two devices that an Aer QPU can be."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from qpuflow.domain.device import Device, Gate, GateSite, Limits, Pace
from qpuflow.domain.targets import CONTROL_FLOW
from qpuflow.drivers.aer.settings import AerSettings, Noise

# What every Aer method simulates itself; the transpiler breaks other gates into these.
ONE_QUBIT = (
    *("h", "id", "p", "r", "rx", "ry", "rz", "s", "sdg", "sx", "sxdg", "t", "tdg", "u"),
    *("x", "y", "z"),
)
TWO_QUBIT = ("cp", "cx", "cy", "cz", "ecr", "rxx", "ryy", "rzx", "rzz", "swap")
THREE_QUBIT = ("ccx", "cswap")

# Seconds. Typical of an Eagle chip; rz is a change of frame and takes no time.
_SX, _CZ, _MEASURE, _RESET = 60e-9, 660e-9, 1.2e-6, 1.3e-6


@cache
def device_of(name: str, settings: AerSettings) -> Device:
    heavy_hex = settings.layout == "heavy-hex-127"
    noise = settings.noise or Noise()
    width = 127 if heavy_hex else settings.max_qubits
    return Device(
        name=name,
        num_qubits=width,
        gates=tuple(_heavy_hex_gates(noise) if heavy_hex else _all_to_all_gates()),
        limits=Limits(
            max_qubits=min(width, settings.max_qubits),
            max_shots=settings.max_shots,
            memory_bytes=settings.max_memory_bytes,
        ),
        outside_effects=False,
        simulator=True,
        pace=Pace(job_seconds=0.005, circuit_seconds=1e-3, shot_seconds=1e-6, layer_seconds=1e-8),
        description=f"Qiskit Aer, {settings.layout}, {'noisy' if settings.noise else 'ideal'}",
    )


def _all_to_all_gates() -> Iterator[Gate]:
    quantum = (*ONE_QUBIT, *TWO_QUBIT, *THREE_QUBIT, "measure", "reset", "delay")
    return (Gate(name=name) for name in (*quantum, *CONTROL_FLOW))


def _heavy_hex_gates(noise: Noise) -> Iterator[Gate]:
    qubits = tuple((qubit,) for qubit in range(127))
    pairs = tuple(sorted({pair for a, b in heavy_hex() for pair in ((a, b), (b, a))}))
    yield _gate("rz", qubits, 0.0, 0.0)
    yield _gate("sx", qubits, _SX, noise.one_qubit)
    yield _gate("x", qubits, _SX, noise.one_qubit)
    yield _gate("cz", pairs, _CZ, noise.two_qubit)
    yield _gate("measure", qubits, _MEASURE, noise.readout)
    yield _gate("reset", qubits, _RESET, 0.0)
    yield _gate("delay", qubits, None, 0.0)
    yield from (Gate(name=name) for name in CONTROL_FLOW)


def _gate(
    name: str, places: tuple[tuple[int, ...], ...], duration: float | None, error: float
) -> Gate:
    sites = (GateSite(qubits=qubits, duration_seconds=duration, error=error) for qubits in places)
    return Gate(name=name, sites=tuple(sites))


@cache
def heavy_hex() -> tuple[tuple[int, int], ...]:
    """The 144 couplings of IBM's 127-qubit Eagle: seven rows, four bridges between neighbours.

    Rows have columns 0 to 14, but the first lacks the last column and the last the first.
    Bridges stand at columns 0, 4, 8, 12 and 2, 6, 10, 14 in turn. Qubits are numbered along each
    row, then along the bridges below it.
    """
    couplings: list[tuple[int, int]] = []
    above: dict[int, int] = {}
    free = 0
    for row in range(7):
        columns = range(row == 6, 15 - (row == 0))
        here = {column: free + index for index, column in enumerate(columns)}
        free += len(columns)
        couplings += [(qubit, qubit + 1) for qubit in list(here.values())[:-1]]
        couplings += [(bridge, here[column]) for column, bridge in above.items()]
        if row < 6:
            above = {column: free + index for index, column in enumerate(range(row % 2 * 2, 15, 4))}
            couplings += [(here[column], bridge) for column, bridge in above.items()]
            free += len(above)
    return tuple(couplings)
