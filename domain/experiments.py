"""The circuits of a calibration, and what their counts say of each qubit.

All qubits are measured at once: classical bit i is qubit i. The circuits are to be compiled
without optimization, so that they stay where and as long as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qpuflow.domain.fits import Decay, Fit, fit
from qpuflow.domain.quantity import Quantity
from qpuflow.domain.request import Program, ProgramFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

Counts = Mapping[str, int]
CLIFFORDS = (1, 80, 200)
SEQUENCES = 2
"""Random ones of each length."""
DELAYS = 9


@dataclass(frozen=True, slots=True)
class Found:
    """Of one qubit. `curve` is what was measured and what was fitted to it, if anything was."""

    qubit: int
    value: float
    error: float
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Experiment:
    """Programs for one job, and how their counts are read."""

    quantity: Quantity
    programs: tuple[Program, ...]
    read: Callable[[Sequence[Counts]], list[Found | None]]
    """In the order of the programs; one entry a qubit, None where nothing could be fitted."""


def experiment(
    quantity: Quantity, num_qubits: int, *, longest_delay_seconds: float, seed: int
) -> Experiment:
    match quantity:
        case Quantity.READOUT:
            return _readout(num_qubits)
        case Quantity.T1 | Quantity.T2_ECHO:
            return _delayed(quantity, num_qubits, longest_delay_seconds)
        case Quantity.GATE:
            return _benchmark(num_qubits, seed)


def ones(counts: Counts, qubit: int) -> float:
    """How often the qubit was a 1, of all shots."""
    total = sum(counts.values())
    return sum(count for bits, count in counts.items() if bits[-1 - qubit] == "1") / total


def _readout(num_qubits: int) -> Experiment:
    prepared = []
    for state in (0, 1):
        circuit = _circuit(num_qubits)
        if state:
            circuit.x(range(num_qubits))
        prepared.append(_measured(circuit, f"all-{state}"))

    def read(counts: Sequence[Counts]) -> list[Found | None]:
        shots = [sum(each.values()) for each in counts]
        zero, one = counts
        return [_confusion(q, ones(zero, q), ones(one, q), min(shots)) for q in qubits]

    qubits = range(num_qubits)
    return Experiment(Quantity.READOUT, tuple(prepared), read)


def _confusion(qubit: int, wrong: float, right: float, shots: int) -> Found:
    """`wrong` is P(1|0), `right` P(1|1)."""
    variance = wrong * (1 - wrong) + right * (1 - right)
    return Found(
        qubit,
        (1 - wrong + right) / 2,
        (variance / shots) ** 0.5 / 2,
        {"confusion": [[1 - wrong, 1 - right], [wrong, right]]},
    )


def _delayed(quantity: Quantity, num_qubits: int, longest_seconds: float) -> Experiment:
    import numpy as np

    echo = quantity is Quantity.T2_ECHO
    # Twice a whole number of the sequencers' 4 ns, so that both halves of an echo are alike.
    delays = np.linspace(0.0, longest_seconds, DELAYS) // 8e-9 * 8
    programs = []
    for nanoseconds in (int(delay) for delay in delays):
        circuit = _circuit(num_qubits)
        everywhere = range(num_qubits)
        if echo:
            circuit.sx(everywhere)
            circuit.delay(nanoseconds // 2, everywhere, "ns")
            circuit.x(everywhere)
            circuit.delay(nanoseconds // 2, everywhere, "ns")
            circuit.sx(everywhere)
        else:
            circuit.x(everywhere)
            circuit.delay(nanoseconds, everywhere, "ns")
        programs.append(_measured(circuit, f"after-{nanoseconds}-ns"))

    def read(counts: Sequence[Counts]) -> list[Found | None]:
        # Two half turns and a whole one lead back to |0>, and decay ends in the middle.
        shape = Decay(0.5, -0.5) if echo else Decay(0.0, 1.0)
        return [
            _time(qubit, fit(delays * 1e-9, _series(counts, qubit), _shots(counts), shape))
            for qubit in range(num_qubits)
        ]

    return Experiment(quantity, tuple(programs), read)


def _time(qubit: int, found: Fit | None) -> Found | None:
    return found and Found(qubit, found.scale, found.scale_error, found.details)


def _benchmark(num_qubits: int, seed: int) -> Experiment:
    """Standard randomized benchmarking (Magesan et al., PRL 106, 180504), of all qubits at once."""
    import numpy as np

    random = np.random.default_rng(seed)
    programs = [
        _measured(_sequence(num_qubits, length, random), f"{length}-cliffords-{number}")
        for length in CLIFFORDS
        for number in range(SEQUENCES)
    ]
    lengths = np.repeat(np.array(CLIFFORDS, dtype=np.float64), SEQUENCES)

    def read(counts: Sequence[Counts]) -> list[Found | None]:
        # Of good gates the end of the decay is out of sight: it is taken to be in the middle.
        shape = Decay(0.5, -0.5, play=0.0)
        return [
            _error_of_gate(qubit, fit(lengths, _series(counts, qubit), _shots(counts), shape))
            for qubit in range(num_qubits)
        ]

    return Experiment(Quantity.GATE, tuple(programs), read)


def _sequence(num_qubits: int, length: int, random: np.random.Generator) -> QuantumCircuit:
    from qiskit.quantum_info import Clifford, random_clifford

    circuit = _circuit(num_qubits)
    for qubit in range(num_qubits):
        total = Clifford.from_label("I")
        for _ in range(length):
            step = random_clifford(1, seed=random)
            circuit.compose(_pulses(step), [qubit], inplace=True)
            total = total.compose(step)
        circuit.compose(_pulses(total.adjoint()), [qubit], inplace=True)
    return circuit


def _pulses(step: Any) -> QuantumCircuit:
    """A Clifford in two half pulses and frames: each takes the same time."""
    from qiskit.synthesis import OneQubitEulerDecomposer

    return OneQubitEulerDecomposer("ZSX")(step.to_operator(), simplify=False)


def _error_of_gate(qubit: int, found: Fit | None) -> Found | None:
    """Half of what the polarization loses with each Clifford."""
    import numpy as np

    if found is None:
        return None
    kept = float(np.exp(-1 / found.scale))
    error = kept * found.scale_error / found.scale**2 / 2
    return Found(qubit, (1 - kept) / 2, error, found.details)


def _series(counts: Sequence[Counts], qubit: int) -> NDArray[np.float64]:
    import numpy as np

    return np.array([ones(each, qubit) for each in counts])


def _shots(counts: Sequence[Counts]) -> int:
    return min(sum(each.values()) for each in counts)


def _circuit(num_qubits: int) -> QuantumCircuit:
    from qiskit import QuantumCircuit

    return QuantumCircuit(num_qubits, num_qubits)


def _measured(circuit: QuantumCircuit, name: str) -> Program:
    """As OpenQASM 3, which keeps the units of delays."""
    from qiskit import qasm3

    circuit.barrier()
    circuit.measure(range(circuit.num_qubits), range(circuit.num_qubits))
    return Program(name=name, source=qasm3.dumps(circuit), format=ProgramFormat.OPENQASM3)
