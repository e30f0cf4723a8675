"""What happens inside a simulating process. Nothing here knows of tickets or event loops."""

from __future__ import annotations

import io
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Any

from qpuflow.domain.errors import InputError, QpuflowError
from qpuflow.domain.executable import Executable, Register
from qpuflow.drivers.aer.methods import (
    Profile,
    choose_method,
    is_native,
    operations,
    profile,
    rewritten,
)
from qpuflow.drivers.aer.noise import noise_model
from qpuflow.drivers.aer.settings import AerSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit
    from qiskit_aer import AerSimulator

PRELOAD = ("qpuflow.drivers.aer.execution", "qiskit.qpy", "qiskit.quantum_info", "qiskit_aer")

WORTH_THREADS_SECONDS = 0.1
"""Below, threads cost more than they save: a Bell pair takes 1 ms with one, 7 ms with two."""


class SimulationFailed(QpuflowError):
    """Aer gave up; its own words are in the message."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One executable before it runs."""

    method: str
    facts: Profile
    points: int
    runs: int
    """Simulations for each point: one, or one per shot."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """One executable after it ran: counts of each point; bits have the shape point, shot, clbit."""

    counts: tuple[dict[str, int], ...]
    bits: NDArray[np.uint8] | None
    method: str
    seed: int
    seconds: float
    versions: dict[str, str]


def plan(settings: AerSettings, executables: Sequence[Executable], shots: int) -> tuple[Plan, ...]:
    """Methods and sizes; `InputError` for what this QPU cannot simulate."""
    return tuple(_plan(settings, e, _bound(e), shots) for e in executables)


def simulate(
    settings: AerSettings,
    executables: Sequence[Executable],
    plans: Sequence[Plan],
    shots: int,
    threads: int,
) -> tuple[Simulated, ...]:
    """`plans`: those of the executables."""
    planned = zip(executables, plans, strict=True)
    return tuple(_simulate(settings, one, its, shots, threads) for one, its in planned)


def _plan(
    settings: AerSettings, executable: Executable, circuits: Sequence[QuantumCircuit], shots: int
) -> Plan:
    profiles = [profile(circuit) for circuit in circuits]
    facts = replace(
        profiles[0],
        clifford=all(p.clifford for p in profiles),
        native_clifford=all(p.native_clifford for p in profiles),
    )
    noisy = settings.noise is not None
    method = choose_method(
        facts,
        memory_bytes=settings.max_memory_bytes,
        noisy=noisy,
        requested=executable.method,
    )
    once = facts.measures_last and (not noisy or method == "density_matrix")
    return Plan(method, facts, len(circuits), runs=1 if once else shots)


def _simulate(
    settings: AerSettings, executable: Executable, planned: Plan, shots: int, threads: int
) -> Simulated:
    circuits = _bound(executable)
    if planned.method == "stabilizer" and not planned.facts.native_clifford:
        circuits = [_in_stabilizer_gates(circuit) for circuit in circuits]
    if estimated_seconds([planned], shots) < WORTH_THREADS_SECONDS:
        threads = 1
    simulator = _simulator(settings, planned.method, threads)
    seed = _seed(executable, settings)
    start = perf_counter()
    outcomes = _outcomes(simulator, circuits, shots, seed, executable)
    return Simulated(
        counts=tuple(_counts(point, executable.registers) for point, _ in outcomes),
        bits=_bits([memory for _, memory in outcomes], executable),
        method=planned.method,
        seed=seed,
        seconds=perf_counter() - start,
        versions=_versions(),
    )


def _seed(executable: Executable, settings: AerSettings) -> int:
    given = executable.seed if executable.seed is not None else settings.seed
    return secrets.randbelow(2**31) if given is None else given


def _bound(executable: Executable) -> list[QuantumCircuit]:
    from qiskit import qpy

    circuit: QuantumCircuit = qpy.load(io.BytesIO(executable.qpy))[0]
    # Not strict: a parameter that cannot matter may have been compiled away.
    bound = [circuit.assign_parameters(point, strict=False) for point in executable.points]
    if missing := {parameter.name for one in bound for parameter in one.parameters}:
        raise InputError(
            f"No value for {', '.join(sorted(missing))}",
            where=executable.name,
            remedy="Give one in every entry of the program's parameters.",
        )
    return bound


def _outcomes(
    simulator: AerSimulator,
    circuits: Sequence[QuantumCircuit],
    shots: int,
    seed: int,
    executable: Executable,
) -> list[tuple[Mapping[str, int], Sequence[str]]]:
    """Counts by hexadecimal number and each shot's number, for each circuit."""
    if not any(step.name in ("measure", "store") for step in operations(circuits[0])):
        return [({"0x0": shots}, ["0x0"] * shots * executable.memory) for _ in circuits]
    result = simulator.run(
        list(circuits), shots=shots, seed_simulator=seed, memory=executable.memory
    ).result()
    if not result.success:
        words = [str(part.status) for part in result.results if not part.success]
        raise SimulationFailed("; ".join(words) or str(result.status), where=executable.name)
    data: list[dict[str, Any]] = [result.data(index) for index in range(len(circuits))]
    return [(point["counts"], point.get("memory", ())) for point in data]


@cache
def _simulator(settings: AerSettings, method: str, threads: int) -> AerSimulator:
    from qiskit_aer import AerSimulator

    return AerSimulator(
        method=method,
        noise_model=noise_model(settings),
        max_memory_mb=max(settings.max_memory_bytes // 2**20, 1),
        max_parallel_threads=threads,
    )


def _in_stabilizer_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    """The same circuit with its Clifford gates in the words of Aer's stabilizer method."""
    copy = circuit.copy_empty_like()
    for step in circuit.data:
        blocks = getattr(step.operation, "blocks", None)
        if blocks is not None:
            inner = step.operation.replace_blocks([_in_stabilizer_gates(b) for b in blocks])
            copy.append(step.replace(operation=inner))
        elif is_native(step.operation) or (gates := rewritten(step.operation)) is None:
            copy.append(step)
        else:
            copy.compose(gates, step.qubits, inplace=True)
    return copy


def _counts(point: Mapping[str, int], registers: Sequence[Register]) -> dict[str, int]:
    return {_outcome(int(number, 16), registers): count for number, count in point.items()}


def _outcome(number: int, registers: Sequence[Register]) -> str:
    """Qiskit's bit string of a number whose bit i is clbit i."""
    parts: list[str] = []
    for register in registers:
        parts.append(f"{number & ((1 << register.size) - 1):0{register.size}b}")
        number >>= register.size
    return " ".join(reversed(parts))


def _bits(points: Sequence[Sequence[str]], executable: Executable) -> NDArray[np.uint8] | None:
    import numpy as np

    if not executable.memory:
        return None
    width = executable.num_clbits
    rows = {number: _row(int(number, 16), width) for number in set().union(*points)}
    shots = [[rows[number] for number in point] for point in points]
    return np.array(shots, dtype=np.uint8).reshape(
        len(points), -1 if width else len(points[0]), width
    )


def _row(number: int, width: int) -> NDArray[np.uint8]:
    import numpy as np

    packed = np.frombuffer(number.to_bytes((width + 7) // 8, "little"), dtype=np.uint8)
    return np.unpackbits(packed, count=width, bitorder="little")


@cache
def _versions() -> dict[str, str]:
    import qiskit
    import qiskit_aer

    return {"qiskit": qiskit.__version__, "qiskit_aer": qiskit_aer.__version__}


def estimated_seconds(plans: Sequence[Plan], shots: int) -> float:
    """Rough, and rather too long than too short. Constants from timings on one core."""
    return sum(0.003 + plan.points * _point_seconds(plan, shots) for plan in plans)


def _point_seconds(plan: Plan, shots: int) -> float:
    qubits = plan.facts.active_qubits
    per_operation = {
        "statevector": 1e-6 + 2e-9 * 2.0**qubits,
        "density_matrix": 1e-6 + 1e-9 * 4.0**qubits,
        "stabilizer": 1e-6,
        "matrix_product_state": 2e-4,
    }[plan.method]
    per_shot = 1e-8 * qubits * (qubits if plan.method == "stabilizer" else 10)
    return plan.runs * (7e-5 + plan.facts.operations * per_operation) + shots * per_shot
