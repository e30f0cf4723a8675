from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from qpuflow.domain.executable import Executable
from qpuflow.domain.observables import evaluate, plan
from qpuflow.domain.parsing import parse, registers_in
from qpuflow.domain.request import Program
from qpuflow.domain.result import dataset_of

if TYPE_CHECKING:
    import xarray as xr
    from qiskit import QuantumCircuit

RunProgram = Callable[..., "xr.Dataset"]


@pytest.fixture(scope="session")
def run_program() -> RunProgram:
    """Runs a program on Aer itself, without anything of qpuflow in between but its domain."""
    return _run


def _run(program: Program, shots: int = 4000, seed: int = 7) -> xr.Dataset:
    planned = plan(parse(program).circuit, program.observables)
    points = tuple(program.parameters) or ({},)
    datasets = [
        _sample(program.name, circuit, points, shots, seed + index)
        for index, circuit in enumerate(planned.circuits)
    ]
    return evaluate(planned, datasets)


def _sample(
    name: str, circuit: QuantumCircuit, points: tuple[dict[str, float], ...], shots: int, seed: int
) -> xr.Dataset:
    from qiskit import transpile
    from qiskit_aer import AerSimulator

    method = "stabilizer" if circuit.num_qubits > 30 else "statevector"
    simulator = AerSimulator(method=method)
    isa = transpile(circuit, simulator, optimization_level=0)
    bound = [isa.assign_parameters(point) for point in points]
    result: Any = simulator.run(bound, shots=shots, seed_simulator=seed).result()
    assert result.success, result.status
    counts = [result.get_counts(index) for index in range(len(points))]
    executable = Executable(name, b"", registers_in(circuit), points)
    return dataset_of(executable, shots, counts)
