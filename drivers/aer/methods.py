"""How a circuit is simulated: a pure choice, told before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import pi
from typing import TYPE_CHECKING, Any

from qpuflow.domain.errors import InputError

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Instruction

AMPLITUDE_BYTES = 16

EXACT_NOISE_QUBITS = 10
"""Up to here one density matrix costs less than a thousand noisy state vectors. Timed at 1,024
shots on one core: 8 qubits 0.12 s against 1.6 s, 10 qubits 1.5 s against 5.3 s, 12 qubits even."""

SMALL_QUBITS = 8
"""Up to here a state vector takes no longer than a stabilizer tableau, whatever the depth, and its
shots less: 20,000 of 8 qubits 24 ms against 36 on one core. From 10 on, deep circuits take longer.
"""

_STABILIZER = frozenset(
    [
        *("h", "id", "s", "sdg", "sx", "sxdg", "x", "y", "z"),
        *("cx", "cy", "cz", "ecr", "swap"),
        *("barrier", "break_loop", "continue_loop", "delay", "measure", "reset", "store"),
    ]
)
"""What Aer's stabilizer method takes as it is, besides rz by quarter turns and control flow."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What decides the method. Active qubits are those that anything acts on.

    `native_clifford`: Clifford in gates that the stabilizer method takes without rewriting.
    `measures_last`: one simulation gives the distribution of every shot.
    """

    active_qubits: int
    operations: int
    clifford: bool
    native_clifford: bool
    measures_last: bool

    @property
    def statevector_bytes(self) -> int:
        return AMPLITUDE_BYTES * 2**self.active_qubits


def profile(circuit: QuantumCircuit) -> Profile:
    """Of a circuit whose parameters are bound."""
    steps = list(operations(circuit))
    native = all(is_native(step) for step in steps)
    return Profile(
        active_qubits=len(active_qubits(circuit)),
        operations=len(steps),
        clifford=native or all(is_clifford(step) for step in steps),
        native_clifford=native,
        measures_last=_measures_last(circuit),
    )


def choose_method(
    facts: Profile, *, memory_bytes: int, noisy: bool, requested: str = "automatic"
) -> str:
    """The name of an Aer method; `InputError` where the requested one is impossible.

    Under noise a circuit is simulated gate by gate as it stands, for errors belong to gates.
    """
    stabilizer = facts.native_clifford if noisy else facts.clifford
    fits = facts.statevector_bytes <= memory_bytes
    if requested == "automatic":
        return _automatic(facts, stabilizer, fits, noisy)
    if requested == "stabilizer" and not stabilizer:
        raise InputError(
            "The stabilizer method simulates Clifford gates only, and this program has others",
            remedy="Leave the method at automatic.",
        )
    if requested == "statevector" and not fits:
        raise InputError(
            f"A state vector of {facts.active_qubits} qubits takes "
            f"{facts.statevector_bytes:,} bytes, more than the {memory_bytes:,} allowed",
            remedy="Use fewer qubits, or the method matrix_product_state.",
        )
    return requested


def _automatic(facts: Profile, stabilizer: bool, fits: bool, noisy: bool) -> str:
    once = facts.measures_last and fits
    if noisy and once and facts.active_qubits <= EXACT_NOISE_QUBITS:
        return "density_matrix"
    if stabilizer and not (once and facts.active_qubits <= SMALL_QUBITS):
        return "stabilizer"
    return "statevector" if fits else "matrix_product_state"


def active_qubits(circuit: QuantumCircuit) -> set[Any]:
    passive = ("barrier", "delay")
    return {q for step in circuit.data if step.operation.name not in passive for q in step.qubits}


def _measures_last(circuit: QuantumCircuit) -> bool:
    """No operation follows a measurement of the same qubit, and none depends on one."""
    measured: set[Any] = set()
    for step in circuit.data:
        name = step.operation.name
        if hasattr(step.operation, "blocks") or name in ("reset", "store"):
            return False
        if name != "barrier" and not measured.isdisjoint(step.qubits):
            return False
        if name == "measure":
            measured.update(step.qubits)
    return True


def operations(circuit: QuantumCircuit) -> Iterator[Instruction]:
    """Every operation, those inside control flow in the place of what holds them."""
    for step in circuit.data:
        blocks = getattr(step.operation, "blocks", None)
        if blocks is None:
            yield step.operation
        else:
            for block in blocks:
                yield from operations(block)


def is_clifford(operation: Instruction) -> bool:
    return is_native(operation) or rewritten(operation) is not None


def rewritten(operation: Instruction) -> QuantumCircuit | None:
    """A Clifford gate in the words of the stabilizer method, up to a global phase."""
    return _rewritten(operation.name, tuple(operation.params), operation.num_qubits)


@lru_cache(maxsize=4096)
def _rewritten(name: str, params: tuple[float, ...], num_qubits: int) -> QuantumCircuit | None:
    from qiskit.circuit.library import get_standard_gate_name_mapping
    from qiskit.exceptions import QiskitError
    from qiskit.quantum_info import Clifford

    gate = get_standard_gate_name_mapping().get(name)
    if gate is None or num_qubits > 2 or not all(_is_quarter_turn(angle, 4) for angle in params):
        return None
    try:
        matched: Any = type(gate)
        return Clifford(matched(*params)).to_circuit()
    except QiskitError:
        return None


def is_native(operation: Instruction) -> bool:
    if operation.name == "rz":
        return _is_quarter_turn(float(operation.params[0]))
    return operation.name in _STABILIZER


def _is_quarter_turn(angle: float, fraction: int = 2) -> bool:
    turns = float(angle) / (pi / fraction)
    return abs(turns - round(turns)) < 1e-9
